"""The keys of a file of profiles: one struct per table. Other keys of a profile and of its tasks are flags."""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from pyrestic.errors import UsageError
from pyrestic.nearest import suggest
from pyrestic.profiles.merge import Leaf, Tree, refuse
from pyrestic.profiles.profile import NotifyEvent

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
CommandList = tuple[list[str] | str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Base of the tables. A secret is Any: its own parser must not show it in an error."""


class DocumentTable(Table, frozen=True, kw_only=True):
    """A whole file."""

    version: int
    defaults: dict[str, Any] = {}
    profile: dict[str, Any] = {}
    notify: dict[str, Any] = {}


class ProfileTable(Table, frozen=True, kw_only=True):
    """A profile, without its flags and tables."""

    inherit: str = ""
    default: bool = False
    repo: str = ""
    password: Any = None
    if_missing: Literal["fail", "skip"] = "fail"
    overdue: str = ""
    budget: str = ""


class WhenTable(Table, frozen=True, kw_only=True):
    """The conditions of a profile or of one task."""

    power: Literal["mains", "any"] = "mains"
    battery_min: Percent = 30
    metered: bool = False
    networks: tuple[str, ...] = ()
    window: str = "00:00-24:00"
    command: tuple[str, ...] = ()
    grace: str = "2m"
    insist_after: str = "never"


class TaskTable(Table, frozen=True, kw_only=True):
    """A task, without its flags and conditions."""

    every: str = ""
    at: tuple[str, ...] = ()


class BackupTable(TaskTable, frozen=True, kw_only=True):
    """What only `backup` has."""

    source: tuple[str, ...] = ()
    partial: bool = True
    checkpoint: str = "30m"
    time_limit: str = "off"
    priority: Literal["low", "normal"] = "low"


class HooksTable(Table, frozen=True, kw_only=True):
    """The hooks of a profile."""

    before: CommandList = ()
    after: CommandList = ()
    failed: CommandList = ()
    finally_: CommandList = msgspec.field(default=(), name="finally")
    timeout: str = "10m"


class NotifyTable(Table, frozen=True, kw_only=True):
    """Which events are reported, and to whom."""

    on: tuple[NotifyEvent, ...] = ("failed", "overdue", "recovered")
    desktop: bool = True
    ping: Any = ""
    ntfy: Any = ""
    webhook: Any = ""
    mail: str = ""
    apprise: Any = ()
    metrics_file: str = ""


T = TypeVar("T", bound=Table)


def keys_of(table: type[Table]) -> tuple[str, ...]:
    """Return the keys of a table."""
    return table.__struct_encode_fields__


def split_flags(tree: Tree, table: type[Table]) -> tuple[Tree, dict[str, Leaf]]:
    """Return the keys that the table has, and the others, which are flags; tables below are in neither."""
    known = keys_of(table)
    leaves = {key: value for key, value in tree.items() if isinstance(value, Leaf)}
    own: Tree = {key: value for key, value in leaves.items() if key in known}
    return own, {key: value for key, value in leaves.items() if key not in known}


def convert(tree: Tree, table: type[T], *more_keys: str) -> T:
    """Return the struct of a table; raise UsageError that names file, table and key.

    `more_keys` are other keys that a person may have meant.
    """
    known = keys_of(table)
    for key, leaf in tree.items():
        if isinstance(leaf, Leaf) and key not in known:
            raise leaf.refuse(key, "there is no such key", suggest(key, (*known, *more_keys), "keys"))
    values = {key: leaf.value for key, leaf in tree.items() if isinstance(leaf, Leaf)}
    try:
        return msgspec.convert(values, table)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`").partition("[")[0]
        wrong = tree.get(key)
        if isinstance(wrong, Leaf):
            raise wrong.refuse(key, _reword(sentence)) from None
        raise UsageError(str(error)) from None


def convert_document(values: dict[str, Any], file: str) -> DocumentTable:
    """Return a whole file; raise UsageError."""
    version = values.get("version")
    if version != 1 or isinstance(version, bool):
        if version is None:
            raise refuse(file, "", "", "the first line must be `version = 1`")
        raise refuse(file, "", "version", f"this program reads version 1 only, the file has {version!r}")
    return convert({key: Leaf(value, file, "") for key, value in values.items()}, DocumentTable)


_WORDS = {
    "str": "a text",
    "bool": "true or false",
    "int": "a number",
    "float": "a number with a fraction",
    "array": "a list",
    "object": "a table",
}


def _reword(sentence: str) -> str:
    """Return a message of msgspec in the words of TOML."""
    plain = re.sub(
        r"`([^`]*)`", lambda match: " or ".join(_WORDS.get(word, word) for word in match[1].split(" | ")), sentence
    )
    for old, new in (("Expected", "must be"), (", got", ", not"), ("Invalid enum value", "there is no value")):
        plain = plain.replace(old, new)
    return plain
