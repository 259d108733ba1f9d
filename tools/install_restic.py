"""Installs the real programs the tests compare with, from Debian's packages, into `.tools/` of this checkout.

    python3 tools/install_restic.py            # restic of bookworm, trixie and sid
    python3 tools/install_restic.py rclone     # other tools by name: openssh, rclone, rest-server

The packages hold static binaries, so nothing is installed on the machine: they are downloaded by apt, with its own
checks of signatures, from the mirror that the machine's own apt sources name, and unpacked. OpenSSH's server is not
static, so it is that of the machine's own release, and keeps its libraries beside it. Without apt or a network one
sentence says so, and the exit code is 1.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Tool:
    """A program in a Debian suite: package, path in the package, and the name it gets here.

    The suite "" is that of this machine. With `more` packages, all of them are kept in a folder of that name.
    """

    package: str
    suite: str
    path: str
    name: str
    version_argument: str = "version"
    more: tuple[str, ...] = ()

    def program(self, folder: Path) -> Path:
        """Return the path of the program below the folder of all tools."""
        return folder / self.name / self.path if self.more else folder / self.name


RESTIC = (
    Tool("restic", "bookworm", "usr/bin/restic", "restic-0.14"),
    Tool("restic", "trixie", "usr/bin/restic", "restic-0.18"),
    Tool("restic", "sid", "usr/bin/restic", "restic-0.19"),
)
OTHERS = {
    "rclone": (Tool("rclone", "sid", "usr/bin/rclone", "rclone"),),
    "rest-server": (
        Tool("restic-rest-server", "sid", "usr/bin/restic-rest-server", "rest-server", version_argument="--version"),
    ),
    "openssh": (
        Tool(
            "openssh-sftp-server",
            "",
            "usr/lib/openssh/sftp-server",
            "openssh",
            version_argument="-Qrequests",
            more=("openssh-server", "libwrap0"),
        ),
    ),
}


class InstallError(Exception):
    """Why a tool cannot be had here, in one sentence."""


def install(tools: tuple[Tool, ...] = RESTIC, folder: Path = TOOLS) -> list[Path]:
    """Return the paths of the tools, downloading those that are not there yet; raise InstallError."""
    missing = [tool for tool in tools if not works(tool.program(folder), tool)]
    if missing:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="install-", dir=folder) as work:
            _download(missing, folder, Path(work))
    return [folder / tool.name for tool in tools]


def works(path: Path, tool: Tool) -> bool:
    """Tell whether the tool is there and starts."""
    try:
        return subprocess.run([path, tool.version_argument], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _download(tools: list[Tool], folder: Path, work: Path) -> None:
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise InstallError(f"{program} is missing: the real restic is installed from Debian's packages")
    suites = {tool: tool.suite or _find_source()[1] for tool in tools}
    options = _apt_options(work, sorted(set(suites.values())))
    _run(["apt-get", *options, "-q", "update"], work)
    for tool in tools:
        unpacked = work / tool.name
        for package in (tool.package, *tool.more):
            _run(["apt-get", *options, "-q", "download", f"{package}/{suites[tool]}"], work)
            packages = list(work.glob(f"{package}_*.deb"))
            if len(packages) != 1:
                raise InstallError(f"apt-get did not download {package} of {suites[tool]}")
            _run(["dpkg", "-x", str(packages[0]), str(unpacked)], work)
            packages[0].unlink()
        # In one step, so that a run that is cut off leaves nothing half.
        shutil.rmtree(folder / tool.name, ignore_errors=True)
        (unpacked if tool.more else unpacked / tool.path).rename(folder / tool.name)
        if not works(tool.program(folder), tool):
            raise InstallError(f"{tool.name} was unpacked but does not start on this machine")


def find_version(package: str, suite: str) -> str:
    """Return the version of a package in a Debian suite; raise InstallError."""
    with tempfile.TemporaryDirectory() as work:
        options = _apt_options(Path(work), [suite])
        _run(["apt-get", *options, "-q", "update"], Path(work))
        listed = subprocess.run(["apt-cache", *options, "madison", package], capture_output=True, text=True)
    fields = listed.stdout.partition("\n")[0].split("|")
    if len(fields) != 3:
        raise InstallError(f"Debian {suite} has no {package}")
    return fields[1].strip()


def _apt_options(work: Path, suites: list[str]) -> list[str]:
    """Return options that give apt sources, lists and cache of its own, on the machine's mirror."""
    mirror = find_mirror()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    sources = work / "sources.list"
    sources.write_text("".join(f"deb {signed}{mirror} {suite} main\n" for suite in suites))
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    return [word for name, value in settings.items() if value != "" for word in ("-o", f"{name}={value}")]


def find_mirror() -> str:
    """Return the address of the Debian mirror in the machine's own apt sources."""
    return _find_source()[0]


def _find_source() -> tuple[str, str]:
    """Return the mirror and the release as the machine's own apt sources name them."""
    try:
        names = release_names(Path("/etc/os-release").read_text())
    except OSError as error:
        raise InstallError("this machine does not say which Debian release it is") from error
    for attempt in range(2):
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)"], capture_output=True, text=True
        )
        for line in listed.stdout.splitlines():
            site, _, name = line.partition(" ")
            if name in names:
                return site, name
        if attempt == 0 and os.geteuid() == 0:
            subprocess.run(["apt-get", "-q", "update"], capture_output=True)
    raise InstallError(f"the apt sources of this machine name no mirror for the Debian release {names[0]!r}")


def release_names(os_release: str) -> list[str]:
    """Return what apt sources may call the release of a system with this /etc/os-release; raise InstallError."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    name = fields.get("VERSION_CODENAME", "").strip('"')
    if not name:
        raise InstallError("this machine does not say which Debian release it is")
    # Debian's testing and unstable have the same file, with the name of testing.
    return [name, "testing", "sid", "unstable"] if "/sid" in fields.get("PRETTY_NAME", "") else [name]


def _run(command: list[str], work: Path) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no reason given"]
        raise InstallError(f"{command[0]} {command[-1]} failed: {last[0]}")


def main() -> int:
    """Install what the arguments name, by default all releases of restic."""
    known = {"restic": RESTIC, **OTHERS}
    names = sys.argv[1:] or ["restic"]
    try:
        for name in names:
            if name not in known:
                raise InstallError(f"{name} is not one of the tools: {', '.join(known)}")
        for path in install(tuple(tool for name in names for tool in known[name])):
            print(path.relative_to(ROOT))
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
