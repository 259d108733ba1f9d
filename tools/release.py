"""Builds the sdist and the wheel of a release, and tests each where nothing else is installed.

    python3 tools/release.py                 # into dist/
    python3 tools/release.py --unreleased    # build any commit, as if it were a release

It refuses uncommitted changes, a version that is no release, and a version that CHANGELOG.md does not describe. Then it
builds with exactly the packages that tools/locks/base.txt names, and for each of both files: checks what is in it,
installs it into an empty environment, runs tools/smoke.py there, and compares the man pages and completion files that
were installed with those that the installed program writes. It publishes nothing.
"""

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import environments  # noqa: E402 - the checkout is not installed

RELEASE = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?")
PACKAGED = ("man/man1", "bash-completion/completions", "fish/vendor_completions.d", "zsh/site-functions")
"""Folders below share/ in the wheel's data."""


class ReleaseError(Exception):
    """Why this is no release, in one sentence."""


def read_version() -> str:
    """Return the version of the checkout."""
    (version,) = re.findall(r'^__version__ = "(.*)"$', (ROOT / "pyrestic" / "__init__.py").read_text(), re.MULTILINE)
    return str(version)


def find_section(changelog: str, version: str) -> str | None:
    """Return what CHANGELOG.md says under a version or "Unreleased", None without such a section."""
    date = "" if version == "Unreleased" else r" - \d{4}-\d\d-\d\d"
    found = re.search(rf"^## \[{re.escape(version)}\]{date}\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1] if found else None


def find_obstacles(version: str) -> Iterator[str]:
    """Iterate why the commit is no release."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if RELEASE.fullmatch(version) is None:
        yield f"{version} is not the version of a release; set __version__ in pyrestic/__init__.py"
    if not (find_section(changelog, version) or "").strip():
        yield f'CHANGELOG.md has no section "## [{version}] - DATE" with entries'
    if (find_section(changelog, "Unreleased") or "").strip():
        yield f"CHANGELOG.md still lists changes as unreleased; move them to {version}"


def list_committed() -> set[str]:
    """Return the names of all committed files; raise ReleaseError if there are changes beside them."""
    changes = _git("status", "--porcelain")
    if changes:
        raise ReleaseError(f"there are uncommitted changes:\n{changes.rstrip()}")
    return set(_git("ls-files", "-z").rstrip("\0").split("\0"))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise ReleaseError(f"this is no git repository: {done.stderr.strip()}")
    return done.stdout


def build(python: str, folder: Path) -> tuple[Path, Path]:
    """Build both files into a folder and return their paths, the sdist first."""
    _run([python, "-m", "hatchling", "build", "--directory", str(folder)], ROOT)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def check_sdist(sdist: Path, committed: set[str]) -> None:
    """Raise ReleaseError if a committed file is missing."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = sorted(committed - names)
    if missing:
        raise ReleaseError(f"{sdist.name} lacks {', '.join(missing[:5])}")


def check_description(wheel: Path, committed: set[str]) -> None:
    """Raise ReleaseError if a link of README.md, as a package index shows it, leads nowhere."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    if metadata["Description-Content-Type"] != "text/markdown":
        raise ReleaseError("the description of the package is not Markdown")
    text = metadata.get_payload()
    assert isinstance(text, str)
    source = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]
    for link in re.findall(r"\]\(([^)]*)\)", text):
        below = re.fullmatch(rf"{re.escape(source)}/(?:blob|raw)/[^/]+/([^#]*)(?:#.*)?", link)
        if not link.startswith(("https://", "#")) or (below and below[1] not in committed):
            raise ReleaseError(f"README.md links to {link}, which a package index cannot show")


def check_installed(python: str, version: str) -> None:
    """Raise ReleaseError if what is installed in an environment does not work there."""
    prefix = Path(python).parent.parent
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        program = prefix / "bin" / "pyrestic"
        said = _run([str(program), "version"], work)
        if not said.startswith(f"pyrestic {version} "):
            raise ReleaseError(f"the installed program is not {version}; it says {said!r}")
        _run([python, "-m", "pip", "check"], work)
        _run([python, str(ROOT / "tools" / "smoke.py")], work)
        check_data(prefix / "share", program, work)


def check_data(share: Path, program: Path, work: Path) -> None:
    """Raise ReleaseError if the installed man pages and completion files are not those of the program."""
    made = work / "made"
    for folder in PACKAGED:
        (made / folder).mkdir(parents=True)
    man, bash, fish, zsh = (made / folder for folder in PACKAGED)
    files = (
        f"--bash-completion={bash}/pyrestic",
        f"--fish-completion={fish}/pyrestic.fish",
        f"--zsh-completion={zsh}/_pyrestic",
    )
    _run([str(program), "--quiet", "generate", f"--man={man}", *files], work)
    for folder in PACKAGED:
        names = sorted(path.name for path in (made / folder).iterdir())
        _, different, missing = filecmp.cmpfiles(made / folder, share / folder, names, shallow=False)
        if not names or different or missing:
            raise ReleaseError(f"share/{folder}: missing or not current: {', '.join(different + missing)}")
    backup = (man / "pyrestic-backup.1").read_text()
    lacking = [
        name for name in ("DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES") if f".SH {name}\n" not in backup
    ]
    if lacking:
        raise ReleaseError(f"the man pages have no {', '.join(lacking)}")


def _run(command: list[str], folder: Path) -> str:
    # Nothing of the checkout or of the caller's settings may help.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RESTIC_"))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(command[:4])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def release(output: Path, committed: set[str], version: str) -> list[Path]:
    """Build and test both files, and put them into a folder; return their paths."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        print("== build", flush=True)
        builder = environments.make_empty(work / "sdist")
        # Byte code of packages that are used once costs more than it saves.
        locked = ("--no-compile", "--require-hashes", "--requirement", str(environments.LOCKS / "base.txt"))
        environments.install(builder, *locked)
        sdist, wheel = build(builder, work / "dist")
        check_sdist(sdist, committed)
        check_description(wheel, committed)
        print(f"== install and test {sdist.name}", flush=True)
        environments.install(builder, "--no-compile", "--no-deps", "--no-build-isolation", str(sdist))
        check_installed(builder, version)
        print(f"== install and test {wheel.name}", flush=True)
        empty = environments.make_empty(work / "wheel")
        constraints = work / "constraints.txt"
        pins = re.findall(
            r"^([\w.-]+==[\w.!+]+(?: ; .*?)?) \\$", (environments.LOCKS / "base.txt").read_text(), re.MULTILINE
        )
        constraints.write_text("\n".join(pins) + "\n")
        environments.install(empty, "--no-compile", "--constraint", str(constraints), str(wheel))
        check_installed(empty, version)
        output.mkdir(exist_ok=True)
        return [Path(shutil.copy2(path, output)) for path in (sdist, wheel)]


def main() -> int:
    """Return 0 if the files are there and work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="where the files go (default: dist/)")
    parser.add_argument("--unreleased", action="store_true", help="accept any version, and unreleased changes")
    options = parser.parse_args()
    version = read_version()
    try:
        committed = list_committed()
        obstacles = [] if options.unreleased else list(find_obstacles(version))
        if obstacles:
            raise ReleaseError("\n".join(obstacles))
        made = release(options.output, committed, version)
    except (ReleaseError, environments.EnvironmentMissingError) as error:
        sys.exit(str(error))
    print("\n".join(map(str, made)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
