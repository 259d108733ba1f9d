"""A message bus of our own, with services on it: mocks by python-dbusmock, and the real key ring of GNOME."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyrestic.desktop.bus import Service, open_bus
from pyrestic.errors import DesktopError
from tests.support.needs import need_file, need_program

_CONFIGURATION = """<busconfig>
  <type>session</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
"""It starts no service: what the machine has installed must not answer."""
_BUS = Service("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_PYTHON = "/usr/bin/python3"
"""Debian's, whose packages have D-Bus for Python."""
_MOCK = "org.freedesktop.DBus.Mock"
_SECRETS = Service("org.freedesktop.secrets", "/org/freedesktop/secrets", "org.freedesktop.Secret.Service")
_PATIENCE_SECONDS = 20


class PrivateBus:
    """A running bus that is the session's and the system's alike."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.address = f"unix:path={folder}/bus"
        self._folder = folder
        self._stack = stack
        configuration = folder / "bus.conf"
        configuration.write_text(_CONFIGURATION.format(path=folder / "bus"))
        program = need_program("dbus-daemon", "dbus-daemon")
        self._process = self.start([program, f"--config-file={configuration}", "--nofork"])
        wait_until((folder / "bus").exists, "the bus")

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which programs find the bus."""
        return {"DBUS_SESSION_BUS_ADDRESS": self.address, "DBUS_SYSTEM_BUS_ADDRESS": self.address}

    def start(self, command: list[str], *, input_text: str = "", **environment: str) -> subprocess.Popen[str]:
        """Start a program that ends with the bus."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), **self.environment, **environment},
        )
        self._stack.callback(_end, process)
        assert process.stdin is not None
        process.stdin.write(input_text)
        process.stdin.close()
        return process

    def end(self) -> None:
        """End the bus, as when the machine shuts down."""
        _end(self._process)

    def call(self, service: Service, method: str, signature: str = "", *arguments: object) -> Any:
        """Call a method of a service on the bus."""
        with open_bus(self.address) as bus:
            return bus.call(service, method, signature, *arguments)

    def has(self, name: str) -> bool:
        """Tell whether a program offers a service."""
        try:
            return bool(self.call(_BUS, "NameHasOwner", "s", name)[0])
        except DesktopError:
            return False

    def mock(self, template: str, name: str, **parameters: object) -> subprocess.Popen[str]:
        """Start a service of python-dbusmock."""
        need_file("/usr/lib/python3/dist-packages/dbusmock", "python3-dbusmock")
        command = [_PYTHON, "-m", "dbusmock", "--template", template, "--parameters", json.dumps(parameters)]
        process = self.start(command)
        wait_until(lambda: self.has(name), name)
        return process

    def control(self, name: str, path: str, method: str, signature: str, *arguments: object) -> Any:
        """Change a mock, or ask it what it was asked."""
        return self.call(Service(name, path, _MOCK), method, signature, *arguments)

    def calls(self, name: str, path: str, method: str) -> list[list[Any]]:
        """Return the arguments of each call of a method that a mock got."""
        (calls,) = self.control(name, path, "GetCalls", "")
        return [[value for _, value in arguments] for _, called, arguments in calls if called == method]

    def start_keyring(self) -> None:
        """Start the key ring of GNOME, unlocked."""
        program = need_program("gnome-keyring-daemon", "gnome-keyring")
        runtime = self._folder / "runtime"
        runtime.mkdir(mode=0o700)
        command = [program, "--foreground", "--components=secrets", "--unlock"]
        self.start(command, input_text="login", XDG_RUNTIME_DIR=str(runtime))
        wait_until(lambda: self.has(_SECRETS.name), "the key ring")
        # It is there before its key ring is.
        wait_until(lambda: self._default_collection() != "/", "the default key ring")

    def lock_keyring(self) -> None:
        """Lock the key ring."""
        self.call(_SECRETS, "Lock", "ao", [self._default_collection()])

    def _default_collection(self) -> str:
        (path,) = self.call(_SECRETS, "ReadAlias", "s", "default")
        return str(path)


@contextlib.contextmanager
def running_bus(folder: Path) -> Iterator[PrivateBus]:
    """Run a bus with a socket in a folder for the time of a with block."""
    with contextlib.ExitStack() as stack:
        yield PrivateBus(folder, stack)


def wait_until(condition: Any, what: str) -> None:
    """Wait until a program that was just started is ready."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not start"
        time.sleep(0.01)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
