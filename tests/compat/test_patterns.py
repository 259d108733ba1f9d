"""Patterns decide as the real restic's do, over generated folders and generated lists of patterns."""

import os
import random
import stat
from pathlib import Path

import pytest

from pyrestic.errors import UsageError
from pyrestic.localfs import select
from pyrestic.localfs.scan import read_directory
from pyrestic.localfs.select import BackupSelector, Patterns
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

NAMES = ["a", "b", "ab", "Foo", "x.c", "é", "aÉb", "😀", "-", "]", "*", "İ", "Σ", "ǅ", "ẞ", "i", "\udcff"]
PIECES = ["a", "b", "*", "?", "[ab]", "[^a]", "[^é]", "\\*", "é", "[a-😀]", "]", "-", "^", "foo", ".c", "A", "İ", "ς"]
LISTS = 40


class Maker:
    """Makes folders and patterns from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def fill(self, folder: Path, depth: int = 3) -> None:
        folder.mkdir()
        for name in self._random.sample(NAMES, 6):
            if depth and self._random.random() < 0.6:
                self.fill(folder / name, depth - 1)
            else:
                (folder / name).touch()

    def pattern(self, root: Path) -> str:
        parts = [self._part() for _ in range(self._random.randint(1, 4))]
        if self._random.random() < 0.5:
            parts.insert(0, self._random.choice([str(root), "/**", f"{root.parent}/*", "/**/" + root.name]))
        return self._random.choice(["", "", "!"]) + "/".join(parts)

    def patterns(self, root: Path, sizes: list[int]) -> list[str]:
        return [self.pattern(root) for _ in range(self._random.choice(sizes))]

    def _part(self) -> str:
        kind = self._random.random()
        if kind < 0.4:
            return self._random.choice(NAMES)
        if kind < 0.5:
            return "**"
        if kind < 0.6:
            return "*"
        return "".join(self._random.choice(PIECES) for _ in range(self._random.randint(1, 3)))


def as_select(selector: BackupSelector) -> select.Select:
    return lambda path, _: (selector.by_path(path), selector.by_path(path))


def walk(path: bytes, select_entry: select.Select, prefix: int, *, named: bool) -> set[bytes]:
    """Return what a walk sees; folders end with a slash. `prefix` bytes of paths are not shown to select_entry."""
    is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    taken, below = (True, True) if named else select_entry(path[prefix:], is_folder)
    found = {path + b"/" * is_folder} if taken and not (named and prefix) else set()
    if is_folder and below:
        for name in read_directory(path):
            found |= walk(path + b"/" + name, select_entry, prefix, named=False)
    return found


def shown(paths: set[bytes]) -> set[str]:
    """Return paths as restic's JSON shows them: each wrong byte as U+FFFD."""
    texts = (path.decode("utf-8", "surrogateescape") for path in paths)
    return {"".join("\ufffd" if "\udc80" <= char <= "\udcff" else char for char in text) for text in texts}


def flags(option: str, patterns: list[str]) -> list[bytes]:
    return [word for pattern in patterns for word in (option.encode(), os.fsencode(pattern))]


@pytest.mark.restic
@pytest.mark.parametrize("seed", [1, 2])
def test_a_backup_leaves_out_what_restic_leaves_out(newest: Program, tmp_path: Path, seed: int) -> None:
    maker = Maker(seed)
    source = tmp_path / "source"
    maker.fill(source)
    repository = make_quick_repository(tmp_path / "repository")
    seen = set()
    for _ in range(LISTS):
        exact, any_case = maker.patterns(source, [1, 2, 3, 4]), maker.patterns(source, [0, 0, 1, 2])
        words = [*flags("--exclude", exact), *flags("--iexclude", any_case)]
        result = newest.run("backup", "--dry-run", "--json", "-vv", *words, source, repository=repository, code=None)
        try:
            selector = BackupSelector(select.reject_patterns(Patterns(exact, any_case)))
        except UsageError:
            assert result.code == 1
            assert b"invalid pattern" in result.stderr
            continue
        expected = {
            message["item"] for message in result.messages if message.get("action") in ("new", "unchanged", "modified")
        }
        ours = walk(bytes(source), as_select(selector), 0, named=True)
        assert shown(ours) == {item for item in expected if item.startswith(f"{source}/")}, (exact, any_case)
        seen.add(len(ours))
    assert len(seen) > 5


@pytest.mark.restic
@pytest.mark.slow
def test_a_restore_takes_what_restic_takes(newest: Program, tmp_path: Path) -> None:
    maker = Maker(3)
    source = tmp_path / "source"
    maker.fill(source)
    repository = make_quick_repository(tmp_path / "repository")
    newest.run("backup", ".", repository=repository, cwd=source)
    seen = set()
    for number in range(LISTS):
        root = Path("/") if number % 2 else Path("/a")
        exact, any_case = maker.patterns(root, [1, 2, 3]), maker.patterns(root, [0, 1])
        try:
            chosen = select.restore_selector(Patterns(exact, any_case), Patterns())
        except UsageError:
            continue
        words = [*flags("--include", exact), *flags("--iinclude", any_case)]
        result = newest.run(
            "restore",
            "latest",
            "--dry-run",
            "--json",
            "-vv",
            "--target",
            tmp_path / "none",
            *words,
            repository=repository,
        )
        expected = {
            message["item"]
            for message in result.messages
            if message["message_type"] == "verbose_status" and message["action"] == "restored"
        }
        assert chosen is not None
        ours = walk(bytes(source), chosen, len(bytes(source)), named=True)
        files = shown({path[len(bytes(source)) :] for path in ours if not path.endswith(b"/")})
        assert files == {item for item in expected if (item in files) or not is_folder(source, item)}, (exact, any_case)
        seen.add(len(files))
    assert len(seen) > 5


def is_folder(source: Path, item: str) -> bool:
    """Tell whether an item names a folder; names that JSON cannot show are files or folders alike, so look for both."""
    level = [bytes(source)]
    for part in item.strip("/").split("/"):
        level = [path + b"/" + name for path in level if os.path.isdir(path) for name in os.listdir(path)
                 if shown({name}) == {part}]  # fmt: skip
    return any(os.path.isdir(path) for path in level)
