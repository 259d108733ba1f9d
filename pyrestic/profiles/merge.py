"""Merges the tables of profiles: defaults, inherited profiles, the profile itself.

Tables merge, other values replace. `extend-KEY` appends to the list KEY. `every` and `at` replace each other.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar, Union

from pyrestic.errors import UsageError

T = TypeVar("T")
_TABLES: dict[str, dict[str, Any]] = {
    "env": {},
    "when": {},
    "hooks": {},
    **{task: {"when": {}} for task in ("backup", "forget", "prune", "check", "drill")},
}
"""The tables of a profile that merge key by key. Others, such as a password's, are replaced."""
_EXTEND = "extend-"
_EXCLUSIVE = {"every": "at", "at": "every"}


class Leaf(NamedTuple):
    """A value as a file has it."""

    value: Any
    file: str
    table: str

    def refuse(self, key: str, sentence: str, hint: str = "") -> UsageError:
        """Return an error about a key of this table."""
        return refuse(self.file, self.table, key, sentence, hint)

    def parse(self, key: str, function: Callable[[Any], T]) -> T:
        """Return the function's result for the value; an error of it names the key."""
        try:
            return function(self.value)
        except UsageError as error:
            raise self.refuse(key, str(error), error.hint) from None


def refuse(file: str, table: str, key: str, sentence: str, hint: str = "") -> UsageError:
    """Return an error about a key; without one, about the table, and without both, about the file."""
    where = f"{file}: [{table}]" if table else file
    return UsageError(f"{where}{f' {key}' if key else ''}: {sentence}", hint=hint)


Tree: TypeAlias = dict[str, Union[Leaf, "Tree"]]
"""The values of a table, and the tables in it that merge."""


def read_tree(table: Mapping[str, Any], file: str, name: str) -> Tree:
    """Return the tree of a profile's table; raise UsageError if a value is where a table must be."""
    return _read_tree(table, file, name, _TABLES)


def _read_tree(table: Mapping[str, Any], file: str, name: str, tables: Mapping[str, Any]) -> Tree:
    tree: Tree = {}
    for key, value in table.items():
        below = tables.get(key)
        if below is None:
            tree[key] = Leaf(value, file, name)
        elif isinstance(value, dict):
            tree[key] = _read_tree(value, file, f"{name}.{key}", below)
        else:
            raise refuse(file, name, key, "must be a table")
    return tree


def merge(trees: Iterable[Tree]) -> Tree:
    """Return the union of trees; later ones win. Raises UsageError if a list cannot be extended."""
    merged: Tree = {}
    for tree in trees:
        _merge_into(merged, tree)
    return merged


def _merge_into(merged: Tree, tree: Tree) -> None:
    for key, value in tree.items():
        if isinstance(value, dict):
            below = merged.setdefault(key, {})
            # The same names are tables in all trees.
            if isinstance(below, dict):
                _merge_into(below, value)
        elif not key.startswith(_EXTEND):
            if _EXCLUSIVE.get(key, "") not in tree:
                merged.pop(_EXCLUSIVE.get(key, ""), None)
            merged[key] = value
    # Last, so that the order within a file has no effect.
    for key, value in tree.items():
        if isinstance(value, Leaf) and key.startswith(_EXTEND):
            _extend(merged, key, value)


def _extend(merged: Tree, key: str, more: Leaf) -> None:
    extended = key.removeprefix(_EXTEND)
    present = merged.get(extended, Leaf([], more.file, more.table))
    if not isinstance(more.value, list):
        raise more.refuse(key, "must be a list")
    if not isinstance(present, Leaf) or not isinstance(present.value, list):
        raise more.refuse(key, f"{extended} is not a list")
    merged[extended] = Leaf([*present.value, *more.value], more.file, more.table)
