"""A machine of our own: namespaces where the real systemd, logind and cron run, whatever runs on this one.

It shares the files of this machine but for /run, and the tables of cron. It needs root.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.needs import miss, need_file, need_program
from tests.support.private_bus import wait_until

_SETUP = """
set -e
# Shared, or LoadCredential= shows an empty folder.
mount --make-rshared /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system /run/dbus /run/user
mkdir -m 700 /run/user/0
touch /run/ready
exec sleep infinity
"""
_CRON = """
set -e
mount -t tmpfs -o mode=755 tmpfs /var/spool/cron
mkdir -m 1730 /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs
# The jobs of this machine must not run.
mount -t tmpfs tmpfs /etc/cron.d
mount --bind /dev/null /etc/crontab
exec cron -f
"""
_ENTER = 'echo $$ > /sys/fs/cgroup/cgroup.procs; exec "$@"'
"""Starts a program in the control group of the machine, where what manages services may make groups of its own."""


class OwnMachine:
    """Namespaces for mounts, processes and control groups, with a home folder for root."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self._stack = stack
        if os.geteuid() != 0:
            miss("only root can make namespaces here")
        control = _mount_control_groups(folder, stack)
        group = control / f"pyrestic-test-{os.getpid()}-{folder.name}"
        group.mkdir()
        stack.callback(_remove_groups, group)
        first = f'echo $$ > {group}/cgroup.procs; exec unshare --mount --pid --cgroup --fork --kill-child sh -c "$1"'
        self._outer = self._popen(["sh", "-c", first, "sh", _SETUP])
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        wait_until(lambda: self._ended() or children.read_text().split(), "the machine")
        (inner,) = children.read_text().split()
        self._enter = ["nsenter", "--target", inner, "--mount", "--pid", "--cgroup", "--wdns=/", "--"]
        wait_until(lambda: Path(f"/proc/{inner}/root/run/ready").exists() or self._ended(), "the machine")

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a session of root."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": "/run/user/0",
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/0/bus",
        }

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program on the machine, with the variables of a session."""
        variables = {**self.environment, **environment}
        return subprocess.run([*self._enter, *map(str, command)], env=variables, capture_output=True, text=True)

    def start(self, *command: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program that ends with the machine."""
        return self._popen([*self._enter, "sh", "-c", _ENTER, "sh", *map(str, command)], **environment)

    def start_user_manager(self) -> None:
        """Start `systemd --user` for root, which reads units below the home folder."""
        self.start(need_file("/usr/lib/systemd/systemd", "systemd"), "--user")
        # Degraded if another unit of this machine's fails.
        done = ("running", "degraded")
        wait_until(lambda: self.run("systemctl", "--user", "is-system-running").stdout.strip() in done, "systemd")

    def start_logind(self) -> None:
        """Start a system bus and logind; only programs on the machine get an answer from it."""
        self.start(need_program("dbus-daemon", "dbus-daemon"), "--system", "--nofork", "--nopidfile")
        wait_until(lambda: self.run("test", "-S", "/run/dbus/system_bus_socket").returncode == 0, "the bus")
        self.start(need_file("/usr/lib/systemd/systemd-logind", "systemd"))
        wait_until(lambda: self.run("loginctl", "list-users").returncode == 0, "logind")

    def start_cron(self) -> None:
        """Start cron, which knows the table of root that `crontab` stores on the machine, and no other job."""
        need_program("cron", "cron")
        self.start("sh", "-c", _CRON)
        wait_until(lambda: self.run("test", "-e", "/run/crond.pid").returncode == 0, "cron")

    def _popen(self, command: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**self.environment, **environment},
        )
        self._stack.callback(_end, process)
        return process

    def _ended(self) -> bool:
        if self._outer.poll() is not None:
            miss("namespaces with mounts of their own cannot be made here")
        return False


@contextlib.contextmanager
def running_machine(folder: Path) -> Iterator[OwnMachine]:
    """Run a machine with its files in a folder for the time of a with block."""
    with contextlib.ExitStack() as stack:
        yield OwnMachine(folder, stack)


def _mount_control_groups(folder: Path, stack: contextlib.ExitStack) -> Path:
    """Mount the second version of control groups, which a machine may have elsewhere or not at all."""
    control = folder / "cgroup"
    control.mkdir()
    if subprocess.run(["mount", "-t", "cgroup2", "cgroup2", control], capture_output=True).returncode != 0:
        miss("control groups cannot be mounted here")
    stack.callback(lambda: subprocess.run(["umount", control], check=True))
    return control


def _remove_groups(group: Path) -> None:
    """Remove a control group and those in it, when the last of their processes has ended."""
    for path in [*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group]:
        deadline = time.monotonic() + 20
        while path.exists():
            try:
                path.rmdir()
            except OSError:
                assert time.monotonic() < deadline, f"{path} is in use"
                time.sleep(0.01)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
