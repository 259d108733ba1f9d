"""OpenSSH's sshd with its sftp-server, as Debian packages them, for one user with one key."""

import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.place_servers.place import Place, free_port

READY_SECONDS = 30.0
_AS_ROOT = """
mount --bind "$1" /etc/passwd && mount -t tmpfs -o mode=755 tmpfs /run && mkdir -m 755 /run/sshd && shift && exec "$@"
"""
"""Root's sshd wants a user and a folder, which this machine need not have."""
_OWN_PROGRAMS = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
"""The programs that a newer sshd consists of, and the settings that name them."""


class SshServer:
    """A server on a port of its own; `folder` holds its keys and settings, `openssh` the unpacked packages."""

    def __init__(self, folder: Path, openssh: Path, *, sftp_server: str = "") -> None:
        self.port = free_port()
        self.folder = folder
        self.client_settings = folder / "ssh_config"
        self._openssh = openssh
        self._sftp_server = sftp_server or str(openssh / "usr/lib/openssh/sftp-server")
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("host_key", "key"):
            make_key(folder / name)
        self._write_settings()

    def place(self, path: Path) -> Place:
        """Return the place at a folder of this machine."""
        location = f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}/{path}/"
        return Place(location, (f"sftp.args=-F {self.client_settings}",))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self._openssh / "usr/sbin/sshd"), "-D", "-f", str(self.folder / "sshd_config")]
        command += ["-E", str(self.folder / "log")]
        if os.geteuid() == 0:
            passwd = self.folder / "passwd"
            others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("sshd:")]
            passwd.write_text("\n".join([*others, "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin", ""]))
            command = ["unshare", "--mount", "sh", "-c", _AS_ROOT, "sh", str(passwd), *command]
        libraries = ":".join(str(path.parent) for path in self._openssh.rglob("lib*.so.*"))
        self._process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": libraries})
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self.folder / "log"
                raise RuntimeError(f"sshd did not start: {log.read_text() if log.exists() else 'it wrote no log'}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it and all its sessions without warning."""
        if self._process is not None:
            for process in (*_descendants(self._process.pid), self._process.pid):
                _signal(process, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def signal_sessions(self, number: int) -> int:
        """Send a signal to the processes of all sessions; return how many there were."""
        assert self._process is not None
        sessions = _descendants(self._process.pid)
        for process in sessions:
            _signal(process, number)
        return len(sessions)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                return line.recv(4) == b"SSH-"
        except OSError:
            return False

    def _write_settings(self) -> None:
        host_key = (self.folder / "host_key.pub").read_text().split()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key[0]} {host_key[1]}\n")
        settings = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.folder / "host_key",
            "AuthorizedKeysFile": self.folder / "key.pub",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "MaxStartups": 100,
            "Subsystem": f"sftp {self._sftp_server}",
        }
        programs = {name: self._openssh / "usr/lib/openssh" / program for name, program in _OWN_PROGRAMS.items()}
        settings |= {name: path for name, path in programs.items() if path.exists()}
        (self.folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.client_settings.write_text(
            f"Host *\n  IdentityFile {self.folder}/key\n  IdentitiesOnly yes\n  BatchMode yes\n"
            f"  UserKnownHostsFile {self.folder}/known_hosts\n  StrictHostKeyChecking yes\n"
        )


def make_key(path: Path) -> None:
    """Make a key without a passphrase, and its public half beside it, unless they are there."""
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)


@contextmanager
def serve_sftp(folder: Path, tools: Path) -> Iterator[Place]:
    """Serve a folder for a with block."""
    server = SshServer(folder / "server", tools / "openssh")
    served = folder / "served"
    served.mkdir(exist_ok=True)
    server.start()
    try:
        yield server.place(served)
    finally:
        server.kill()


def _descendants(process: int) -> list[int]:
    """Return the processes below one, those without children first."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [each for child in children for each in (*_descendants(int(child)), int(child))]


def _signal(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass
