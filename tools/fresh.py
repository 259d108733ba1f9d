"""Runs both commands of README.md on machines that were just installed: Debian 12 and 13, minimal, in namespaces.

    python3 tools/fresh.py                                         # everything: hours on two processors
    python3 tools/fresh.py --suite trixie --user root --command quickstart
    python3 tools/fresh.py --command run_tests -- tests/web -x     # the rest goes to run_tests.py
    python3 tools/fresh.py --suite sid --command run_tests         # the newest Python; not part of everything

Needs root and debootstrap (apt-get install debootstrap). Each machine has python3, git and ca-certificates, and what
is committed of this checkout, cloned: for root below /root, where nobody else may enter, for the ordinary user in
its home. The mirror, the settings of apt and pip, and the certificates are this machine's. The ordinary user
gets python3-venv first, as both commands ask for it.

Everything runs in a mount and process namespace of its own, so nothing stays mounted and no process stays, however a
run ends. The systems stay in --folder unless --remove is given: the next run copies the installed system. Exit code 1
means that something failed; the last lines say what.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.install_restic import InstallError, find_mirror, find_version  # noqa: E402 - nothing is installed

SUITES = ("bookworm", "trixie")
NEWER_SUITES = ("sid",)
"""Suites that are tried only by name."""
USERS = ("root", "ordinary")
COMMANDS = ("quickstart", "run_tests")
PACKAGES = "python3,git,ca-certificates"
ORDINARY = "tester"
PASSED_ON = re.compile(r"(?i)(.*_proxy|PIP_.*|SSL_CERT_(FILE|DIR)|(CURL|REQUESTS)_CA_BUNDLE)")
"""Variables that say how this machine reaches others."""
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
MOUNTS = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
cd "$1"
user=$2 folder=$3
shift 3
pivot_root . mnt
umount --lazy /mnt
exec chroot --userspec="$user" / /usr/bin/env -i --chdir="$folder" "$@"
"""
"""Makes the system the root of its mount namespace: who enters the namespaces of a process there comes out in it."""


class Machine(NamedTuple):
    """A system in a folder, and who works there."""

    suite: str
    user: str
    folder: Path

    @property
    def name(self) -> str:
        """The account's name."""
        return "root" if self.user == "root" else ORDINARY

    @property
    def home(self) -> str:
        """The account's home, as it is called inside."""
        return "/root" if self.user == "root" else f"/home/{ORDINARY}"

    def run(self, command: list[str], *, user: str | None = None, **environment: str) -> bool:
        """Run a command in the clone, or in / if `user` is given; return whether it succeeded."""
        values = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.home}
        values |= (
            {"DEBIAN_FRONTEND": "noninteractive", "LOGNAME": self.name, "USER": self.name, "LANG": "C.UTF-8"}
            | network_settings()
            | environment
        )
        inside = [user or self.name, "/" if user else f"{self.home}/pyrestic"]
        settings = [f"{name}={value}" for name, value in values.items()]
        print("$", shlex.join(command), flush=True)
        namespace = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        outer = [*namespace, "sh", "-c", MOUNTS, "sh", str(self.folder), *inside, *settings, *command]
        return subprocess.run(outer).returncode == 0


def network_settings() -> dict[str, str]:
    """Return the variables that pip and others need here; files of this machine that only it has are left out."""
    found = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    for name, value in re.findall(r"^global\.([a-z-]+)='(.*)'$", listed, re.MULTILINE):
        found.setdefault("PIP_" + name.replace("-", "_").upper(), value)
    return {name: value for name, value in found.items() if "CERT" in name or not _is_local(value)}


def _is_local(value: str) -> bool:
    return any(word.startswith(("/", "file:")) for word in value.split())


def install_system(suite: str, folder: Path) -> Path:
    """Return the folder of the minimal system, making it if it is not there."""
    base = folder / f"{suite}.base"
    if base.exists():
        return base
    half = folder / f"{suite}.half"
    shutil.rmtree(half, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(half), find_mirror()]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit(f"debootstrap of {suite} failed; {half}/debootstrap/debootstrap.log says why")
    half.rename(base)
    return base


def make_machine(suite: str, user: str, folder: Path) -> Machine:
    """Return a machine that was just installed, with the clone."""
    base = install_system(suite, folder)
    machine = Machine(suite, user, folder / f"{suite}-{user}")
    shutil.rmtree(machine.folder, ignore_errors=True)
    subprocess.run(["cp", "--archive", "--reflink=auto", base, machine.folder], check=True)
    for name in ("/etc/resolv.conf", CERTIFICATES, *certificate_files()):
        target = machine.folder / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, target)
    settings = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, check=True).stdout
    (machine.folder / "etc/apt/apt.conf.d/99-as-outside").write_bytes(settings)
    clone = machine.folder / machine.home.lstrip("/") / "pyrestic"
    if user != "root":
        done = [
            machine.run(["useradd", "--create-home", ORDINARY], user="root"),
            machine.run(["apt-get", "-qq", "update"], user="root"),
            machine.run(["apt-get", "-qq", "install", "--yes", "python3-venv"], user="root"),
        ]
        if not all(done):
            sys.exit(f"the ordinary user of {suite} could not be made")
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
    owner = (machine.folder / machine.home.lstrip("/")).stat()
    subprocess.run(["chown", "--recursive", f"{owner.st_uid}:{owner.st_gid}", clone], check=True)
    return machine


def can_install() -> bool:
    """Tell whether systems can be installed here."""
    return os.geteuid() == 0 and shutil.which("debootstrap") is not None


def find_suite(python: str) -> str | None:
    """Return the suite that has this Python, such as "3.14", as its own; None if there is none. Raises InstallError."""
    if not can_install():
        raise InstallError("only root can install a Debian system, with debootstrap")
    found = {suite: find_version("python3", suite) for suite in SUITES + NEWER_SUITES}
    return next((suite for suite, version in found.items() if version.startswith(f"{python}.")), None)


def certificate_files() -> list[str]:
    """Return the files of certificates that variables name."""
    return sorted({value for name, value in network_settings().items() if "CERT" in name and os.path.isfile(value)})


def main() -> int:
    """Run what was asked for on each machine; return 0 if all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--suite", action="append", choices=SUITES + NEWER_SUITES, help="which Debian (default: 12 and 13)"
    )
    parser.add_argument("--user", action="append", choices=USERS, help="as whom (default: both)")
    parser.add_argument("--command", action="append", choices=COMMANDS, help="which command (default: both)")
    default = Path("/var/tmp/pyrestic-fresh")
    parser.add_argument("--folder", type=Path, default=default, help=f"where the systems are kept (default: {default})")
    parser.add_argument("--remove", action="store_true", help="remove the systems at the end")
    parser.add_argument("arguments", nargs="*", help="arguments of run_tests.py")
    options = parser.parse_args()
    if not can_install():
        sys.exit("this needs root, and debootstrap: apt-get install debootstrap")
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    try:
        for suite in options.suite or SUITES:
            for user in options.user or USERS:
                machine = make_machine(suite, user, folder)
                for command in options.command or COMMANDS:
                    results.append(try_out(machine, command, options.arguments))
    except InstallError as error:
        sys.exit(str(error))
    finally:
        if options.remove:
            shutil.rmtree(folder)
    print("\n".join(f"{'ok    ' if good else 'FAILED'} {what}" for what, good in results))
    return 0 if all(good for _, good in results) else 1


def try_out(machine: Machine, command: str, arguments: list[str]) -> tuple[str, bool]:
    """Run a command of README.md; return what it was and whether it succeeded."""
    words = ["python3", f"tools/{command}.py", *(["docs"] if command == "quickstart" else arguments)]
    title = f"{machine.suite} as {machine.user}: {command}"
    print(f"\n==== {title}", flush=True)
    started = time.monotonic()
    # Root may install all that the tests need: there nothing may be skipped.
    good = machine.run(words, **({"CI": "true"} if machine.user == "root" else {}))
    return f"{title} ({time.monotonic() - started:.0f} s)", good


if __name__ == "__main__":
    sys.exit(main())
