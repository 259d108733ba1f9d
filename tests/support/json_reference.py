"""docs/json.md as tables: which messages each command prints, with which fields; and what is not as they say."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.restic import ROOT

_HEADS = re.compile(r"^(#{2,3}) (.+)$", re.MULTILINE)
_ID = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_COMMON = "Common rules"


class Field(NamedTuple):
    """A row of a table; type is in the words of the document."""

    name: str
    type: str
    always: bool


Table = list[Field]


class Found(NamedTuple):
    """An object in what was printed: the table it belongs to, and its keys as they came."""

    table: str
    keys: tuple[str, ...]


@dataclass
class Section:
    """What is said of a command."""

    intro: str
    tables: dict[str, Table] = field(default_factory=dict)


@dataclass
class Reference:
    """The whole document; `forms` says of each command what it prints, and whose that is."""

    forms: dict[str, tuple[str, str]]
    sections: dict[str, Section]

    def section(self, command: str) -> Section:
        """Return the section of a command, or of the one it is another name of."""
        section = self.sections[command]
        alias = re.match(r"As `([^`]+)`", section.intro)
        return self.section(alias[1]) if alias else section

    def check(self, command: str, value: Any) -> tuple[list[str], list[Found]]:
        """Return what is wrong with something that a command has printed, and the objects in it."""
        complaints: list[str] = []
        for kind in self._kinds(command, value):
            found: list[Found] = []
            wrong = [f"{command}: {line}" for line in self._differ(command, value, kind, found)]
            if not wrong:
                return [], found
            complaints += wrong
        return complaints or [f"{command}: nothing is known of {value}"], []

    def _kinds(self, command: str, value: Any) -> list[str]:
        """Return the types that something printed as a whole may have."""
        section = self.section(command)
        if not isinstance(value, dict) or "message_type" not in value:
            return [f"{many}`{name}`" for many, name in re.findall(r"[Oo]ne (list of )?`([^`]+)`", section.intro)]
        others = re.findall(r"see `([^`]+)`", section.intro)
        name = value["message_type"]
        places = [place for place in (command, *others, _COMMON) if name in self.section(place).tables]
        messages = [
            place for place in places if "message_type" in {one.name for one in self._table(command, f"{place}:{name}")}
        ]
        return [f"`{place}:{name}`" for place in messages]

    def _table(self, command: str, name: str) -> Table:
        place, colon, inner = name.partition(":")
        if not colon:
            place, inner = (command if name in self.section(command).tables else _COMMON), name
        table = self.section(place).tables[inner]
        return [*table, Field("b2", "`b2`", False)] if inner == "summary" else table

    def _differ(self, command: str, value: Any, kind: str, found: list[Found]) -> Iterator[str]:
        if kind.endswith(" or null"):
            if value is not None:
                yield from self._differ(command, value, kind.removesuffix(" or null"), found)
        elif kind.startswith("list of "):
            if not isinstance(value, list):
                yield f"{value!r} is no list"
                return
            for one in value:
                yield from self._differ(command, one, kind.removeprefix("list of "), found)
        elif kind.startswith("`"):
            yield from self._differ_object(command, value, kind.strip("`"), found)
        elif not _fits(value, kind):
            yield f"{value!r} is no {kind}"

    def _differ_object(self, command: str, value: Any, name: str, found: list[Found]) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{value!r} is no object"
            return
        table = self._table(command, name)
        found.append(Found(name.rpartition(":")[2], tuple(value)))
        known = {one.name: one for one in table}
        yield from (f"{name} has an unknown field {key}" for key in value if key not in known)
        yield from (f"{name} lacks {one.name}" for one in table if one.always and one.name not in value)
        if [key for key in known if key in value] != [key for key in value if key in known]:
            yield f"{name} has its fields in another order: {list(value)}"
        for key, inner in value.items():
            if key in known:
                yield from (f"{name}.{key}: {line}" for line in self._differ(command, inner, known[key].type, found))


def _fits(value: Any, kind: str) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "string":
            return isinstance(value, str)
        case "id":
            return isinstance(value, str) and _ID.fullmatch(value) is not None
        case "time":
            return isinstance(value, str) and _TIME.fullmatch(value) is not None
    raise AssertionError(f"the document has a type {kind!r}")


def read_reference() -> Reference:
    """Return what docs/json.md says."""
    parts = _HEADS.split((ROOT / "docs" / "json.md").read_text(encoding="utf-8"))
    reference = Reference({}, {})
    section = Section("")
    for level, head, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        name = head.strip("`")
        if head == "Commands":
            reference.forms = {row[0].strip("`"): (row[1], row[2]) for row in _rows(text)}
        elif level == "##":
            section = reference.sections[name] = Section(text.strip())
        else:
            section.tables[name] = [Field(row[0].strip("`"), row[1], row[2] == "yes") for row in _rows(text)]
    common = reference.sections[_COMMON].tables
    for one in reference.sections.values():
        one.tables = {name: list(_expand(table, common)) for name, table in one.tables.items()}
    return reference


def _rows(text: str) -> list[list[str]]:
    """Return the cells of a table without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _expand(table: Table, common: dict[str, Table]) -> Iterator[Field]:
    for one in table:
        shared = re.fullmatch("all of `([^`]+)", one.name)
        if shared:
            yield from common[shared[1]]
        else:
            yield one
