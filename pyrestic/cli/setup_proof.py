"""Proves that a new profile works: this program backs up a few files, and one of them is restored and compared."""

import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from pyrestic.cli.timer import find_program
from pyrestic.errors import PyresticError
from pyrestic.profiles.profile import Profile

_MOST_FILES = 10
_MOST_BYTES = 64 << 10
_MOST_FOLDERS = 1000
_TAG = "pyrestic:setup"


def run_command(words: Sequence[str]) -> tuple[int, bytes, str]:
    """Run this program as a person or the timer does; return its exit code, output and messages."""
    process = subprocess.Popen(  # noqa: S603 - this program
        [*find_program(), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = process.communicate()
    return process.returncode, output, errors.decode("utf-8", "replace").strip()


def prove_backup(name: str, profile: Profile) -> str:
    """Back up a few small files, compare one, and forget the snapshot; raise PyresticError if that fails."""
    backup = profile.tasks.get("backup")
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(_choose_files(backup.source if backup else ()))
        if not chosen:
            chosen = [os.path.join(folder, "file")]
            with open(chosen[0], "wb") as file:
                file.write(b"A file to prove that backups work.\n")
        listed = os.path.join(folder, "list")
        with open(listed, "wb") as file:
            file.writelines(os.fsencode(path) + b"\0" for path in chosen)
        words = ["backup", "--json", "--tag", _TAG, "--exclude=", "--files-from-raw", listed]
        lines = _run(name, *words).splitlines()
        snapshot = str(json.loads(lines[-1])["snapshot_id"])
        for path in chosen:
            with open(path, "rb") as file:
                content = file.read()
            if _run(name, "dump", snapshot, path) == content:
                break
        else:
            raise PyresticError(f"the restored {chosen[-1]} differs from the original")
    # Not needed any more, as those of runs that were killed; where nothing may be removed, they stay.
    run_command(["-P", name, "forget", "--prune=false", *_list_trials(name, snapshot)])
    return f"backed up {len(chosen)} small files, restored {path} and compared it: it is the same"


def _list_trials(name: str, snapshot: str) -> list[str]:
    """Return the IDs of this machine's snapshots that `setup` made."""
    listed = json.loads(_run(name, "snapshots", "--json", "--tag", _TAG))
    host = next(one["hostname"] for one in listed if one["id"] == snapshot)
    return [str(one["id"]) for one in listed if one["hostname"] == host]


def _run(name: str, *words: str) -> bytes:
    code, output, errors = run_command(["-P", name, *words])
    if code != 0:
        raise PyresticError(f"`{words[0]}` failed with exit code {code}: {errors}")
    return output


def _choose_files(sources: Sequence[str]) -> Iterator[str]:
    """Yield a few small regular files that can be read."""
    waiting = list(sources)
    found = folders = 0
    while waiting and found < _MOST_FILES and folders < _MOST_FOLDERS:
        path = waiting.pop(0)
        try:
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                folders += 1
                waiting += [os.path.join(path, entry) for entry in sorted(os.listdir(path))]
                continue
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and 0 < status.st_size <= _MOST_BYTES and os.access(path, os.R_OK):
            found += 1
            yield path
