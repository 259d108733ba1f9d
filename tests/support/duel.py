"""A command line by the real restic and by ours, one after the other on the same paths, and all that each left behind.

Each finds the same repository, the same folder to work in and a home without anything. What chance and the clock decide
is taken out of what is compared.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyrestic.errors import WrongPasswordError
from tests.support.both_programs import Beside, make_beside
from tests.support.cli import Caller
from tests.support.comparable import (
    files_below,
    is_left_out,
    is_result,
    lines_of,
    names_below,
    narrow,
    parse_message,
    sort_key,
)
from tests.support.compared_output import steady
from tests.support.compared_repositories import blobs_of, files_of, snapshots_of
from tests.support.quick_repository import make_quick_repository, remove_empty_folders
from tests.support.restic import NEWEST, PASSWORD, Program, find_pyrestic, find_restic

_ID = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{10}|[0-9a-f]{8})\b")
_NOISE = re.compile(
    r"\[\d+:\d\d\] ?|in \d+:\d\d|\d+(?:\.\d+)?(?:ms|s)\b|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4} [A-Z0-9+-]+"
    r"|(?<=[ (\[])[0-9.]+ [KMG]?i?B"
)
_OWN_WORDS = ("features", "generate", "options", "version")
"""Commands that tell in each program's own words."""
_OURS_ALONE = ("cache", "copy", "migrate", "prune", "rebuild-index", "recover", "repair", "rewrite")
"""Commands whose --json is text in restic, and text and a summary here."""


@dataclass(frozen=True)
class Left:
    """How a line ended and what it left: streams, the files of the working folder, the repository."""

    code: int
    out: list[str]
    messages: list[Any]
    files: dict[str, tuple[Any, ...]]
    repository: dict[str, Any]
    errors: str = field(default="", compare=False)

    def differences(self, other: "Left") -> list[str]:
        """Return a line for each thing that another did not say or leave alike.

        Text does not count for what ends with an error: restic finds some errors later, when it has told something.
        """
        names = ("code", *(["out"] if self.code in (0, 3) else []), "messages", "files", "repository")
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [f"{name}: {narrow(one, two)}" for name, one, two in pairs if one != two]


class Duel:
    """Runs lines with both programs; `names` are what stands in braces."""

    def __init__(self, folder: Path) -> None:
        self.beside: Beside = make_beside(folder / "fixture")
        self.run_folder = folder / "run"
        self.cwd = folder / "cwd"
        self.kept = folder / "kept"
        self.cache = folder / "cache"
        self.cache.mkdir()
        self.theirs: Program = find_restic(NEWEST, folder)
        self.process: Program = find_pyrestic(folder)
        self.ours = Caller(folder)
        remove_empty_folders(self.beside.repository)
        self._write_files(folder)
        self._name_everything()
        self._known = self._find_known()

    def run(self, line: str, *, process: bool = False, **environment: str) -> tuple[Left, Left]:
        """Return what restic left and what ours left; `process` gives ours one of its own."""
        settings: dict[str, Any] = {"TZ": "Europe/Berlin", **environment, **self._prepare()}
        words = self.words(line)
        done = self.theirs.run(*words, code=None, cwd=self.cwd, **settings)
        theirs = self._look(line, done.code, done.stdout, done.stderr.decode("utf-8", "replace"))
        self._prepare()
        if process or "stdin" in line:
            done = self.process.run(*words, code=None, cwd=self.cwd, **settings)
            ours = self._look(line, done.code, done.stdout, done.stderr.decode("utf-8", "replace"))
        else:
            self.ours.cwd = self.cwd
            called = self.ours(*words, **settings, RESTIC_PASSWORD=PASSWORD)
            out = called.out.encode("utf-8", "surrogateescape")
            ours = self._look(line, called.code, out, called.err)
        return theirs, ours

    def words(self, line: str) -> list[str]:
        """Return the words of a line."""
        return ["" if word == "''" else _fill(word, self.beside.names) for word in line.split(" ")]

    def _write_files(self, folder: Path) -> None:
        self.cwd.mkdir()
        self.kept.mkdir()
        shutil.copytree(self.beside.folder / "source", self.cwd / "source", symlinks=True, copy_function=_copy)
        there = self.kept / "there"
        (there / "dir").mkdir(parents=True)
        (there / "a.txt").write_bytes(b"another\n")
        (there / "dir" / "extra").write_bytes(b"extra\n")
        (self.kept / "old").write_bytes(b"old\n")
        texts = {
            "password": PASSWORD,
            "wrong": "another",
            "patterns": "# what to take\n*.txt\n\n",
            "list": "source/dir\nsource/new",
        }
        other = make_quick_repository(folder / "other")
        self.theirs.run("backup", "-q", self.cwd / "source" / "dir", repository=other)
        texts["location"] = str(other)
        for name, text in texts.items():
            (folder / name).write_text(text + "\n")
            self.beside.names[name] = str(folder / name)
        self.beside.names |= {"other": str(other), "run": str(self.run_folder)}

    def _name_everything(self) -> None:
        repository, names = self.beside.repository, self.beside.names
        for name, kind in (("pack", "data"), ("index", "index"), ("key", "keys")):
            found = sorted(path.name for path in (repository / kind).rglob("*") if path.is_file())
            names[name] = found[0]
        names["key2"] = "0" * 64
        blobs = sorted(blob.split()[1] for blob in blobs_of(repository) if blob.startswith("data"))
        names["blob"] = blobs[0]

    def _find_known(self) -> frozenset[str]:
        repositories = (self.beside.repository, Path(self.beside.names["other"]))
        known = {path.name for folder in repositories for path in folder.rglob("*") if path.is_file()}
        known |= {blob.split()[1] for folder in repositories for blob in blobs_of(folder)}
        return frozenset(name[:length] for name in known for length in (8, 10, 64))

    def _prepare(self) -> dict[str, str]:
        """Make repository, home and working folder as they were; return the variables that lead to them."""
        shutil.rmtree(self.run_folder, ignore_errors=True)
        self.run_folder.mkdir()
        shutil.copytree(self.beside.repository, self.run_folder / "repository")
        for path in self.cwd.iterdir():
            if path.name != "source":
                _remove(path)
        shutil.copytree(self.kept, self.cwd, dirs_exist_ok=True)
        home = self.run_folder / "home"
        home.mkdir()
        # Compiled code stays: nobody wants to wait for it with each line.
        for path in self.cache.iterdir():
            if path.name != "pyrestic":
                _remove(path)
        return {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(self.cache),
            "RESTIC_REPOSITORY": str(self.run_folder / "repository"),
        }

    def _look(self, line: str, code: int, out: bytes, errors: str) -> Left:
        words = line.split(" ")
        texts, messages = [], []
        own_words = set(words) & set(_OWN_WORDS) or ("--json" in words and set(words) & set(_OURS_ALONE))
        for text in [] if own_words else lines_of(out):
            message = parse_message(text)
            if message is None:
                clean = self._clean(text).rstrip()
                texts += [] if is_left_out(clean) else [clean]
            else:
                messages.append(self._without_chance(message))
        unordered = sorted(filter(is_result, messages), key=sort_key)
        made = self.run_folder / "made"
        repository = self._look_into(self.run_folder / "repository")
        if (made / "config").exists():
            repository["made"] = files_of(made)
        return Left(code, sorted(texts), unordered, files_below(self.cwd), repository, errors)

    def _look_into(self, folder: Path) -> dict[str, Any]:
        """Return what is in the repository, nothing if not a file changed."""
        if names_below(folder) == names_below(self.beside.repository):
            return {}
        counts: dict[str, Any] = dict(files_of(folder))
        counts |= {name: len(list((folder / name).iterdir())) for name in ("keys", "locks")}
        counts.pop("data")
        try:
            counts["blobs"] = sorted(blobs_of(folder))
            counts["snapshots"] = [self._without_chance(snapshot) for snapshot in snapshots_of(folder)]
        except WrongPasswordError:
            counts["password"] = "another"
        return counts

    def _without_chance(self, value: Any) -> Any:
        clean = self._clean(steady(value))
        # Groups of snapshots come in an order of chance there.
        return sorted(clean, key=sort_key) if isinstance(clean, list) else clean

    def _clean(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._clean(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._clean(each) for each in value]
        return _NOISE.sub("…", _ID.sub(self._show_id, value)) if isinstance(value, str) else value

    def _show_id(self, match: re.Match[str]) -> str:
        return match[0] if match[0] in self._known else "NEW"


def _fill(word: str, names: Mapping[str, str]) -> str:
    return word.format(**names).replace("\t", " ")


def _copy(source: str, target: str) -> None:
    if not os.path.exists(source) or os.path.isfile(source):
        shutil.copy2(source, target)
    else:
        os.mkfifo(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
