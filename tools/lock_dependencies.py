"""Writes the locks: exact versions, with hashes, of everything that is installed.

    python3 tools/lock_dependencies.py                           # the newest versions that fit pyproject.toml
    python3 tools/lock_dependencies.py --keep                    # those that the locks name, where they still fit
    python3 tools/lock_dependencies.py --python PATH --python PATH  # for the Pythons at these paths

There are four files in `tools/locks/`: `base.txt` for the program without extras, `run.txt` for what README.md
installs, `test.txt` for what the tests need, and `swift.txt` for a server that tests start. Each of the first three
holds hatchling as well, which builds the package, so that an installation needs no package beyond its lock:

    pip install --require-hashes -r tools/locks/run.txt
    pip install --no-deps --no-build-isolation .

pip resolves for each Python, oldest first; what a newer Python needs in another version or besides gets a marker. The
hashes are those of the index that pip is set up for: of source archives and of wheels for Linux.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "tools" / "locks"
EXTRAS = {
    "base": (),
    "run": ("desktop", "fast", "fsspec", "mount", "notify", "rclone", "web"),
    "test": ("desktop", "fast", "fsspec", "mount", "notify", "rclone", "web", "test"),
}
"""Which extras each lock is for."""
SERVERS = {"swift": ("PyECLib", "swift")}
"""Which packages each lock of a server is for. `tools/locks/azurite/` is npm's: npm writes it."""
BUILDS = ("editables",)
"""What hatchling needs for an editable installation, and asks for only while it builds."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64", "armv7l")
_JSON = "application/vnd.pypi.simple.v1+json"


class Pin(NamedTuple):
    """A package in one version."""

    name: str
    version: str


Resolution = dict[str, frozenset[Pin]]
"""Pins by the Python that they are for, "3.11" first."""


class LockError(Exception):
    """Why there is no lock, in one sentence."""


def requirements(name: str) -> list[str]:
    """Return what a lock is for: what pyproject.toml asks for, with its extras and what builds the package."""
    if name in SERVERS:
        return list(SERVERS[name])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["build-system"]["requires"], *BUILDS, *project["project"]["dependencies"]]
    for extra in EXTRAS[name]:
        wanted += project["project"]["optional-dependencies"][extra]
    return wanted


def find_pythons() -> dict[str, str]:
    """Return the paths of the Pythons that start, by version: those on the PATH, else those that pyenv installed."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found: dict[str, str] = {}
    for version in PYTHONS:
        on_path = shutil.which(f"python{version}")
        places = [*([on_path] if on_path else []), *map(str, installed.glob(f"{version}.*/bin/python{version}"))]
        started = next((path for path in places if ask_version(path) == version), None)
        if started:
            found[version] = started
    return found


def ask_version(python: str) -> str:
    """Return "3.11" for a Python 3.11, "" for what does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip()


def resolve(pythons: dict[str, str], name: str, wider: Resolution, kept: Resolution) -> Resolution:
    """Return what pip would install for a lock on each Python.

    Versions are those of the wider lock; without one, the kept ones, else those of the oldest Python, where possible.
    """
    resolution: Resolution = {}
    for version, python in pythons.items():
        print(f"{name} for Python {version}", flush=True)
        limits = wider.get(version) or kept.get(version) or next(iter(resolution.values()), frozenset())
        pins = _ask_pip(python, requirements(name), limits)
        if not pins and not wider:
            pins = _ask_pip(python, requirements(name), frozenset())
        if not pins:
            raise LockError(f"pip finds no versions of {name} for Python {version}")
        resolution[version] = pins
    return resolution


def _ask_pip(python: str, wanted: list[str], limits: frozenset[Pin]) -> frozenset[Pin]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.writelines(f"{pin.name}=={pin.version}\n" for pin in limits)
        constraints.flush()
        options = ["--dry-run", "--ignore-installed", "--quiet", "--only-binary", ":all:", "--report", "-"]
        command = [python, "-m", "pip", "install", *options, "--constraint", constraints.name, *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr[-2000:], file=sys.stderr)
        return frozenset()
    installs: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return frozenset(Pin(canonical(one["metadata"]["name"]), one["metadata"]["version"]) for one in installs)


def canonical(name: str) -> str:
    """Return a package's name as indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_hashes(pin: Pin, index: str) -> list[str]:
    """Return the SHA-256 of the files of a version that a Linux may install; raise LockError if there are none."""
    request = urllib.request.Request(f"{index.rstrip('/')}/{pin.name}/", headers={"Accept": _JSON})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files: list[dict[str, Any]] = json.load(answer)["files"]
    hashes = {one["hashes"]["sha256"] for one in files if is_of(pin, one["filename"]) and not one.get("yanked")}
    if not hashes:
        raise LockError(f"the index has no file of {pin.name} {pin.version} for this lock")
    return sorted(hashes)


def is_of(pin: Pin, filename: str) -> bool:
    """Tell whether a file is a source archive or a fitting wheel of this version."""
    if filename.endswith(".whl"):
        name, version, *_, python, abi, platform = filename.removesuffix(".whl").split("-")
        fits = any(_fits_python(tag, abi) for tag in python.split(".")) and _fits_machine(platform)
        return fits and (canonical(name), version) == pin
    if not filename.endswith(".tar.gz"):
        return False
    name, _, version = filename.removesuffix(".tar.gz").rpartition("-")
    return (canonical(name), version) == pin


def _fits_python(tag: str, abi: str) -> bool:
    if tag.startswith("py3"):
        return True
    found = re.fullmatch(r"cp3(\d+)", tag)
    if found is None:
        return False
    versions = [int(version.partition(".")[2]) for version in PYTHONS]
    return (abi == tag and int(found[1]) in versions) or (abi == "abi3" and int(found[1]) <= versions[-1])


def _fits_machine(platform: str) -> bool:
    return platform == "any" or ("linux" in platform and platform.endswith(MACHINES))


def marker(pin: Pin, resolution: Resolution) -> str:
    """Return the condition under which a pin holds, "" for all Pythons of a resolution."""
    versions = list(resolution)
    using = [version for version in versions if pin in resolution[version]]
    parts = []
    if using[0] != versions[0]:
        parts.append(f'python_version >= "{using[0]}"')
    if using[-1] != versions[-1]:
        parts.append(f'python_version <= "{using[-1]}"')
    return " ; " + " and ".join(parts) if parts else ""


def write(name: str, resolution: Resolution, hashes: dict[Pin, list[str]]) -> None:
    """Write a lock."""
    extras = f"extras: {', '.join(EXTRAS[name]) or 'none'}" if name in EXTRAS else f"for the server {name}"
    lines = [
        f"# Written by tools/lock_dependencies.py for Python {', '.join(resolution)}; {extras}.",
        "# Install with: pip install --require-hashes -r this file",
    ]
    for pin in sorted(frozenset().union(*resolution.values())):
        lines.append(f"{pin.name}=={pin.version}{marker(pin, resolution)} \\")
        lines += [f"    --hash=sha256:{one} \\" for one in hashes[pin]]
        lines[-1] = lines[-1].removesuffix(" \\")
    LOCKS.mkdir(exist_ok=True)
    (LOCKS / f"{name}.txt").write_text("\n".join(lines) + "\n")


def main() -> int:
    """Write all locks; return 0 if that went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="keep the versions of the locks where they still fit")
    parser.add_argument("--only", action="append", default=[], choices=SERVERS, help="only the lock of this server")
    parser.add_argument("--python", action="append", default=[], help="a Python to resolve for, any number of times")
    options = parser.parse_args()
    given: list[str] = options.python
    pythons = {ask_version(path): path for path in given} or find_pythons()
    pythons = {version: pythons[version] for version in PYTHONS if version in pythons}
    if PYTHONS[0] not in pythons:
        sys.exit(f"Python {PYTHONS[0]} is missing, the oldest that pyrestic runs on")
    try:
        kept = read_pins((LOCKS / "test.txt").read_text(), pythons) if options.keep else {}
        resolutions = resolve_all(pythons, kept, options.only)
        pins = sorted({pin for resolution in resolutions.values() for found in resolution.values() for pin in found})
        index = find_index()
        with ThreadPoolExecutor(4) as pool:
            hashes = dict(zip(pins, pool.map(lambda pin: find_hashes(pin, index), pins), strict=True))
    except LockError as error:
        sys.exit(str(error))
    for name, resolution in resolutions.items():
        write(name, resolution, hashes)
    print(f"{len(pins)} packages for Python {', '.join(pythons)}")
    return 0


def read_pins(lock: str, versions: Iterable[str]) -> Resolution:
    """Return the pins of a lock's text for each of these Pythons."""
    pins: Resolution = {}
    for version in versions:
        found = re.findall(r"^([a-z0-9-]+)==([\w.!+]+)(?: ; (.*?))? \\$", lock, re.MULTILINE)
        pins[version] = frozenset(Pin(name, pinned) for name, pinned, condition in found if _holds(condition, version))
    return pins


def _holds(condition: str, version: str) -> bool:
    """Tell whether the condition that marker() made of a pin holds for a Python."""
    minor = int(version.partition(".")[2])
    at_least, at_most = (re.search(rf'{sign} "3\.(\d+)"', condition) for sign in (">=", "<="))
    return (not at_least or int(at_least[1]) <= minor) and (not at_most or minor <= int(at_most[1]))


def resolve_all(pythons: dict[str, str], kept: Resolution, only: list[str]) -> dict[str, Resolution]:
    """Return the contents of the locks: a version is the same in each but those of the servers."""
    with tempfile.TemporaryDirectory() as folder:
        # In environments of their own: what a Python has installed must not decide.
        for version, python in pythons.items():
            subprocess.run([python, "-m", "venv", Path(folder, version)], check=True)
        own = {version: str(Path(folder, version, "bin", "python")) for version in pythons}
        servers = {name: resolve(own, name, {}, {}) for name in only or SERVERS}
        if only:
            return servers
        widest = resolve(own, "test", {}, kept)
        return {"test": widest, **{name: resolve(own, name, widest, {}) for name in ("run", "base")}, **servers}


def find_index() -> str:
    """Return the address of the index that pip is set up for."""
    pip = [sys.executable, "-m", "pip", "config", "get"]
    for name in ("global.index-url", ":env:.index-url"):
        found = subprocess.run([*pip, name], capture_output=True, text=True).stdout.strip()
        if found:
            return found
    code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
