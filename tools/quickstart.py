"""A first backup of a folder of yours, restored beside it and compared: python3 tools/quickstart.py FOLDER

Needs nothing but python3 and the checkout. It makes a virtual environment in `.quickstart/`, installs pyrestic there
with exactly the packages that tools/locks/run.txt names, makes an encrypted repository in ~/pyrestic-quickstart (or
where --home says), backs the folder up, lists the snapshot, restores it into a fresh folder, compares every file, and
says what to type next. Safe to run again: the second run adds a snapshot.
"""

import argparse
import hashlib
import io
import os
import secrets
import shlex
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import environments  # noqa: E402 - the checkout is not installed yet

VENV = ROOT / ".quickstart" / "venv"


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def install() -> Path:
    """Make the virtual environment with pyrestic in it, if that is not done; return the program."""
    program = VENV / "bin" / "pyrestic"
    if program.exists() and subprocess.run([program, "version"], capture_output=True).returncode == 0:
        return program
    say(f"Installing pyrestic into {VENV}")
    try:
        environments.make(VENV, "run")
    except environments.EnvironmentMissingError as error:
        sys.exit(str(error))
    # What would otherwise be compiled beside the first runs.
    subprocess.run([program, "compile-code"], check=True)
    return program


def make_password(path: Path) -> None:
    """Write a new password to a file that only its owner can read, unless there is one."""
    if path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(24) + "\n")


def describe(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return kind, mode, time and content of everything in a folder; sockets are in no backup."""
    found: dict[str, tuple[object, ...]] = {}
    for where, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(where, name)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            content: object = None
            if kind == stat.S_IFREG:
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            elif kind == stat.S_IFLNK:
                content = os.readlink(path)
            if kind != stat.S_IFSOCK:
                found[os.path.relpath(path, folder)] = (kind, status.st_mode & 0o7777, status.st_mtime_ns, content)
    return found


def compare(source: Path, target: Path) -> list[str]:
    """Return the files that differ."""
    before, after = describe(source), describe(target)
    wrong = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    return sorted(wrong)


def own_folders() -> list[Path]:
    """Return where pyrestic keeps compiled code and notes for this user."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return [Path(cache).resolve() / "pyrestic", Path(state).resolve() / "pyrestic"]


def main() -> int:
    """Do all the steps; return 0 if what came back is what went in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what to back up")
    home_default = Path.home() / "pyrestic-quickstart"
    parser.add_argument("--home", type=Path, default=home_default, help="where the repository goes")
    options = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files are bytes
    source = options.folder.resolve()
    if not source.is_dir():
        sys.exit(f"{source} is not a folder.")
    program = install()
    home: Path = options.home.resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    repository, password = home / "repository", home / "password"
    make_password(password)

    # Settings of another repository in the environment must not get in between.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RESTIC_")}

    def pyrestic(*arguments: str | Path) -> None:
        places: list[str | Path] = ["--repo", repository, "--password-file", password, "--cache-dir", home / "cache"]
        command = [program, *places, *arguments]
        print("$", " ".join(map(str, ["pyrestic", *arguments])), flush=True)
        done = subprocess.run(command, env=environment)
        if done.returncode != 0:
            sys.exit(f"That failed with exit code {done.returncode}.")

    if not (repository / "config").exists():
        say(f"Making an encrypted repository in {repository}")
        pyrestic("init")
    say(f"Backing up {source}")
    pyrestic("backup", "--exclude", home, source)
    say("What there is now")
    pyrestic("snapshots")
    target = Path(tempfile.mkdtemp(prefix="restored-", dir=home))
    say(f"Restoring it to {target}")
    pyrestic("restore", f"latest:{source}", "--target", target)
    say("Comparing every file")
    wrong = compare(source, target)
    for own in (home, *own_folders()):
        # What this run itself writes below the source changes meanwhile, and so do the folders above it.
        if own.is_relative_to(source):
            above = {own, *own.parents}
            wrong = [name for name in wrong if source / name not in above and not (source / name).is_relative_to(own)]
    if wrong:
        print(f"{len(wrong)} differ, the first are: {', '.join(wrong[:5])}")
        return 1
    print(f"All {len(describe(target))} files and folders came back as they were.")
    say("What to type next")
    quoted = shlex.quote(str(source))
    print(f"""export PATH={shlex.quote(str(program.parent))}:$PATH
export RESTIC_REPOSITORY={shlex.quote(str(repository))}
export RESTIC_PASSWORD_FILE={shlex.quote(str(password))}
# Back up again; only what changed is stored:
pyrestic backup {quoted}
# See what is in it, take some of it back, verify every stored byte:
pyrestic ls latest
pyrestic restore latest:{quoted} --target back
pyrestic check --read-data

The original restic opens the repository with the same two variables. Without the password in
{password} nothing can be read again: keep a copy somewhere else.
The restored copy in {target} may be deleted.""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
