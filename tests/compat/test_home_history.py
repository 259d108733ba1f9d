"""Histories of a home folder, each compared with what the real restic finds in all snapshots.

The contents of a file are single blobs, so `restic find --blob` tells which snapshots hold a content at a path, and
`restic find --json` what else is known of it there.
"""

import json
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Caller
from tests.support.restic import NEWEST, PASSWORD, Program, find_restic
from tools.make_home_history import HOME, make_home_history

pytestmark = pytest.mark.restic

BY_RESTIC, BY_TOOL = 12, 150


@dataclass
class Homes:
    """A repository, the folder in it, what each of its snapshots holds, oldest first, and both programs."""

    repository: Path
    folder: str
    held: list[tuple[str, dict[str, str]]]
    restic: Program
    ours: Caller

    def ask_restic(self, *words: str) -> Any:
        """Return the JSON that the real restic prints."""
        return json.loads(self.restic.run("--no-lock", *words, repository=self.repository).stdout)

    def histories(self, *paths: str) -> list[Any]:
        """Return what ours says of paths."""
        outcome = self.ours("--no-lock", "history", "--json", *paths, RESTIC_REPOSITORY=str(self.repository))
        assert outcome.code == 0, outcome.err
        return list(outcome.json)

    def interesting(self, count: int) -> list[str]:
        """Return paths of files that have most changes, and some that came late or are gone."""
        states: dict[str, list[str]] = {}
        for _, files in self.held:
            for path in states.keys() | files.keys():
                states.setdefault(path, []).append(files.get(path, ""))
        changes = {path: len(list(groupby(found))) for path, found in states.items()}
        return sorted(states, key=lambda path: (-changes[path], path))[:count]


@pytest.fixture(scope="module", params=[True, False], ids=["made by restic", "made by the tool"])
def homes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Homes:
    """A home folder whose snapshots the real restic has made, and a longer history that the tool has stored."""
    folder = tmp_path_factory.mktemp("homes")
    restic = find_restic(NEWEST, folder)
    command = f"{restic.command[0]} --cache-dir {folder / 'cache-restic'}" if request.param else ""
    count = BY_RESTIC if request.param else BY_TOOL
    made = make_home_history(folder / "home", count=count, restic=command, password=PASSWORD)
    place = f"{folder}/home.files" if request.param else HOME
    return Homes(folder / "home", place, list(made), restic, Caller(folder))


def told(history: Any, order: list[str]) -> dict[str, tuple[str, dict[str, Any] | None]]:
    """Return for each snapshot which version a history says it has: its identity, and the span it belongs to."""
    found: dict[str, tuple[str, dict[str, Any] | None]] = {}
    for version in history["versions"]:
        for span in version["spans"]:
            first, last = order.index(span["first"]["id"]), order.index(span["last"]["id"])
            assert span["count"] == last - first + 1
            for snapshot in order[first : last + 1]:
                assert snapshot not in found
                found[snapshot] = version.get("identity", ""), span if "mtime" in span else None
    return found


def test_every_version_of_a_file_is_in_the_snapshots_in_which_restic_finds_it(homes: Homes) -> None:
    paths = homes.interesting(12)
    order = [snapshot for snapshot, _ in homes.held]
    blobs = sorted({files[path] for _, files in homes.held for path in paths if path in files})
    uses = homes.ask_restic("find", "--json", "--blob", *blobs)
    matches = homes.ask_restic("find", "--json", *paths)
    for path, history in zip(paths, homes.histories(*paths), strict=True):
        by_restic = {use["snapshot"]: use["id"] for use in uses if use["path"] == path}
        nodes = {one["snapshot"]: node for one in matches for node in one["matches"] if node["path"] == path}
        assert by_restic.keys() == nodes.keys()
        ours = told(history, order)
        assert ours.keys() == set(order)
        assert {snapshot for snapshot, (identity, _) in ours.items() if identity} == by_restic.keys()
        pairs = {(identity, by_restic[snapshot]) for snapshot, (identity, _) in ours.items() if identity}
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
        for snapshot, (_, span) in ours.items():
            if span is not None and span["first"]["id"] == snapshot:
                assert (span["mtime"], span["size"]) == (nodes[snapshot]["mtime"], nodes[snapshot]["size"])


def test_every_version_of_a_folder_is_what_restic_finds_below_it(homes: Homes) -> None:
    folders = [f"{homes.folder}/folder{number}" for number in (0, 1, 5)]
    order = [snapshot for snapshot, _ in homes.held]
    matches = homes.ask_restic("find", "--json", *(f"{folder}/**" for folder in folders))
    found = {one["snapshot"]: one["matches"] for one in matches}
    for folder, history in zip(folders, homes.histories(*folders), strict=True):
        by_restic = {
            snapshot: repr(
                sorted(
                    (node["path"], node["type"], node["mtime"], node.get("size"))
                    for node in nodes
                    if node["path"].startswith(folder + "/")
                )
            )
            for snapshot, nodes in found.items()
        }
        ours = told(history, order)
        held = [snapshot for snapshot in order if ours[snapshot][0]]
        pairs = {(ours[snapshot][0], by_restic.get(snapshot, "[]")) for snapshot in held}
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
        for left, right in pairwise(held):
            assert (ours[left][0] == ours[right][0]) == (by_restic.get(left) == by_restic.get(right))


def test_what_the_tool_has_stored_is_whole_for_restic(homes: Homes) -> None:
    homes.restic.run("check", "--read-data", "--no-lock", repository=homes.repository)
