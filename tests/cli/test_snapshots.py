"""snapshots: which are listed, and how."""

import json
from typing import Any

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.cli.commands.snapshots import zone_name
from pyrestic.handle import FileType
from pyrestic.repository.repository import Repository
from tests.support.cli import PASSWORD, Caller

TREE = "00" * 32


@pytest.fixture
def saved(made: Caller) -> tuple[Caller, list[str]]:
    """A repository with snapshots of different hosts, tags, paths and times, and their IDs."""
    documents: list[dict[str, Any]] = [
        {"time": "2020-01-01T10:00:00Z", "paths": ["/b", "/a"], "hostname": "one", "tags": ["x", "y"]},
        {"time": "2021-01-01T10:00:00+01:00", "paths": ["/a"], "hostname": "one", "tags": ["y"]},
        {"time": "2022-01-01T10:00:00.5Z", "paths": ["/a"], "hostname": "two", "tags": ["<&>", "ä"]},
        {"time": "2023-01-01T10:00:00Z", "paths": ["/a"], "hostname": "two", "username": "u", "uid": 7},
        {"time": "2019-01-01T10:00:00Z", "paths": ["/a"], "hostname": "one", "parent": TREE, "original": TREE},
    ]
    repository = Repository.open(LocalBackend(str(made.repository)), PASSWORD)
    identifiers = [
        repository.save_unpacked(FileType.SNAPSHOT, json.dumps({**document, "tree": TREE}).encode()).hex()
        for document in documents
    ]
    repository.close()
    return made, identifiers


def listed(saved: tuple[Caller, list[str]], *arguments: str, **environment: str) -> list[int]:
    """Return the numbers of the snapshots that are listed."""
    call, identifiers = saved
    return [identifiers.index(one["id"]) for one in call("snapshots", "--json", *arguments, **environment).json]


def test_all_snapshots_are_listed_oldest_first(saved: tuple[Caller, list[str]]) -> None:
    assert listed(saved) == [4, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--host", "one"], [4, 0, 1]),
        (["-H", "one", "--host", "two"], [4, 0, 1, 2, 3]),
        (["--host", "none"], []),
        (["--tag", "y"], [0, 1]),
        (["--tag", "x,y"], [0]),
        (["--tag", "x, y"], [0]),
        (["--tag", "x", "--tag", "ä"], [0, 2]),
        (["--tag", ""], [4, 3]),
        (["--path", "/a"], [4, 0, 1, 2, 3]),
        (["--path", "/b", "--path", "/a"], [0]),
        (["--path", "/c"], []),
        (["--latest", "1"], [0, 1, 3]),
        (["--latest", "2"], [4, 0, 1, 2, 3]),
        (["--last"], [0, 1, 3]),
        (["latest"], [3]),
        (["latest", "--host", "one"], [1]),
        (["latest", "latest", "--tag", "x"], [0]),
    ],
)
def test_filters_choose_as_restic_does(
    saved: tuple[Caller, list[str]], arguments: list[str], expected: list[int]
) -> None:
    assert listed(saved, *arguments) == expected


def test_the_host_of_the_environment_is_switched_off_by_an_empty_flag(saved: tuple[Caller, list[str]]) -> None:
    assert listed(saved, RESTIC_HOST="two") == [2, 3]
    assert listed(saved, "--host", "one", RESTIC_HOST="two") == [4, 0, 1]
    assert listed(saved, "--host", "", RESTIC_HOST="two") == [4, 0, 1, 2, 3]


def test_snapshots_are_named_by_the_beginning_of_their_id(saved: tuple[Caller, list[str]]) -> None:
    call, identifiers = saved
    assert listed(saved, identifiers[2][:12], identifiers[0], identifiers[2]) == [0, 2]
    outcome = call("snapshots", "nothing", identifiers[0] + ":sub", "--host", "one", "latest:x")
    assert outcome.code == 1
    assert outcome.err.splitlines() == [
        'Ignoring "nothing": no matching ID found for prefix "nothing"',
        f'Ignoring "{identifiers[0]}:sub": <snapshot>:<subfolder> syntax not allowed',
        'Ignoring "latest:x": <snapshot>:<subfolder> syntax not allowed',
        'Ignoring "filters": explicit snapshot ids are given',
        "Fatal: 3 snapshots could not be found or read",
    ]


def test_an_unclear_beginning_is_refused(saved: tuple[Caller, list[str]]) -> None:
    call, _ = saved
    assert call("snapshots", "").err.startswith('Ignoring ""')


def test_the_table_has_the_columns_of_restic(saved: tuple[Caller, list[str]]) -> None:
    call, identifiers = saved
    lines = call("snapshots", TZ="UTC").out.splitlines()
    short = [identifier[:8] for identifier in identifiers]
    assert lines == [
        "ID        Time                 Host        Tags        Paths",
        "------------------------------------------------------------",
        f"{short[4]}  2019-01-01 10:00:00  one                     /a",
        "",
        f"{short[0]}  2020-01-01 10:00:00  one         x,y         /a",
        "                                                       /b",
        "",
        f"{short[1]}  2021-01-01 09:00:00  one         y           /a",
        "",
        f"{short[2]}  2022-01-01 10:00:00  two         <&>,ä       /a",
        "",
        f"{short[3]}  2023-01-01 10:00:00  two                     /a",
        "------------------------------------------------------------",
        "Timestamps shown in UTC",
        "5 snapshots",
    ]


def test_the_compact_table_has_a_line_for_each_tag(saved: tuple[Caller, list[str]]) -> None:
    call, identifiers = saved
    lines = call("snapshots", "-c", "--tag", "x", TZ="UTC").out.splitlines()
    assert lines[0] == "ID        Time                 Host  Tags"
    assert lines[2:4] == [f"{identifiers[0][:8]}  2020-01-01 10:00:00  one   x", " " * 37 + "y"]


def test_groups_come_with_a_header_each(saved: tuple[Caller, list[str]]) -> None:
    call, _ = saved
    out = call("snapshots", "-g", "hosts,path").out
    assert [line for line in out.splitlines() if line.startswith("snapshots for")] == [
        "snapshots for (host [one], paths [/a, /b]):",
        "snapshots for (host [one], paths [/a]):",
        "snapshots for (host [two], paths [/a]):",
    ]


def test_groups_in_json_name_their_key(saved: tuple[Caller, list[str]]) -> None:
    call, identifiers = saved
    groups: list[Any] = call("snapshots", "--json", "-g", "tags", "--latest", "1").json
    keys = [group["group_key"] for group in groups]
    assert {"hostname": "", "paths": None, "tags": ["x", "y"]} in keys
    untagged = groups[keys.index({"hostname": "", "paths": None, "tags": None})]
    assert [one["id"] for one in untagged["snapshots"]] == [identifiers[3]]


def test_json_is_written_as_go_writes_it(saved: tuple[Caller, list[str]]) -> None:
    call, identifiers = saved
    out = call("snapshots", "--json", identifiers[2]).out
    assert out == (
        f'[{{"time":"2022-01-01T10:00:00.5Z","tree":"{TREE}","paths":["/a"],"hostname":"two",'
        f'"tags":["\\u003c\\u0026\\u003e","ä"],"id":"{identifiers[2]}","short_id":"{identifiers[2][:8]}"}}]\n'
    )


def test_nothing_is_printed_where_nothing_is(made: Caller) -> None:
    assert made("snapshots").out == ""
    assert made("snapshots", "--json").out == made("snapshots", "--json", "-g", "host").out == "[]\n"


def test_a_damaged_snapshot_does_not_hide_the_others(saved: tuple[Caller, list[str]]) -> None:
    call, identifiers = saved
    file = call.repository / "snapshots" / identifiers[0]
    file.chmod(0o600)
    file.write_bytes(b"damage")
    assert listed(saved, "--no-cache") == [4, 1, 2, 3]
    assert identifiers[0][:8] in call("snapshots", "--no-cache").err


@pytest.mark.parametrize(
    ("environment", "name"),
    [({"TZ": ""}, "UTC"), ({"TZ": "UTC"}, "UTC"), ({"TZ": "No/Where"}, "UTC"), ({"TZ": ":/etc/localtime"}, None)],
)
def test_the_zone_is_named_as_go_names_it(environment: dict[str, str], name: str | None) -> None:
    assert zone_name(environment) == (name or zone_name({}))
