"""Installs the units for the manager of this user, for root for that of the system."""

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pyrestic.backend.private_folder import PrivateFolder, open_private
from pyrestic.errors import LocalFileError, UsageError
from pyrestic.localfs.own_text import is_unchanged
from pyrestic.schedule.units import TIMER

_SYSTEM_FOLDER = "/etc/systemd/system"
_MAX_BYTES = 1 << 20
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Manager:
    """A manager of systemd: the folder of its units, and the words that call it."""

    folder: str
    words: tuple[str, ...]

    @property
    def is_system(self) -> bool:
        """Whether it is that of the system, which runs without a login."""
        return self.folder == _SYSTEM_FOLDER


def find_manager(environment: Mapping[str, str], user: int) -> Manager | None:
    """Return the manager that runs timers of this user, None if there is none."""
    if user == 0 and _read_line("/proc/1/comm") == "systemd" and os.path.isdir("/run/systemd/system"):
        return Manager(_SYSTEM_FOLDER, ("systemctl",))
    runtime = environment.get("XDG_RUNTIME_DIR", "") or f"/run/user/{user}"
    home = environment.get("HOME", "")
    settings = environment.get("XDG_CONFIG_HOME", "") or (os.path.join(home, ".config") if home else "")
    if not settings.startswith("/") or not os.path.exists(os.path.join(runtime, "systemd", "private")):
        return None
    return Manager(
        os.path.join(settings, "systemd", "user"), ("env", f"XDG_RUNTIME_DIR={runtime}", "systemctl", "--user")
    )


def runs_without_login(user_name: str) -> bool:
    """Tell whether the manager of a user starts with the machine."""
    return os.path.exists(f"/var/lib/systemd/linger/{user_name}")


def install(manager: Manager, units: Mapping[str, str]) -> bool:
    """Write the units and start the timer; return whether a unit changed. Raises UsageError, LocalFileError."""
    changed = False
    try:
        with open_private(manager.folder, create=True) as folder:
            old = {name: _read(folder, name) for name in units}
            for name, text in old.items():
                _ensure_ours(folder, name, text)
            for name, text in units.items():
                if old[name] != text:
                    folder.replace(name, [text.encode("utf-8", "surrogateescape")])
                    changed = True
    except OSError as error:
        raise LocalFileError(f"{manager.folder}: {error.strerror}") from error
    _call(manager, "daemon-reload")
    _call(manager, "enable", "--now", TIMER)
    return changed


def remove(manager: Manager, names: tuple[str, ...]) -> bool:
    """Stop the timer and remove the units; return whether there was one. Raises UsageError, LocalFileError."""
    try:
        with open_private(manager.folder) as folder:
            present = {name: text for name in names if (text := _read(folder, name)) is not None}
            for name, text in present.items():
                _ensure_ours(folder, name, text)
            if TIMER in present:
                _call(manager, "disable", "--now", TIMER)
            for name in present:
                folder.remove(name)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LocalFileError(f"{manager.folder}: {error.strerror}") from error
    if present:
        _call(manager, "daemon-reload")
    return bool(present)


def is_installed(manager: Manager) -> bool:
    """Tell whether the folder of units contains the timer."""
    return os.path.lexists(os.path.join(manager.folder, TIMER))


def describe(manager: Manager) -> dict[str, str]:
    """Return the state of the timer: its activity and the times of the last and the next start."""
    properties = "ActiveState,LastTriggerUSec,NextElapseUSecRealtime"
    output = _call(manager, "show", TIMER, f"--property={properties}")
    return dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)


def start(manager: Manager, service: str, seconds: float) -> bool:
    """Start the service and watch it for some seconds; return whether it has ended by then.

    Raises UsageError if it fails in this time, or does not start.
    """
    before = _state(manager, service)["ExecMainStartTimestampMonotonic"]
    _call(manager, "start", "--no-block", service)
    deadline = time.monotonic() + seconds
    while True:
        state = _state(manager, service)
        started = state["ExecMainStartTimestampMonotonic"] != before
        if state["ActiveState"] == "failed":
            kind = "" if manager.is_system else "--user "
            hint = f"`journalctl {kind}-u {service}` shows its messages."
            raise UsageError(f"{service} failed: {state['Result']}", hint=hint)
        if started and state["ActiveState"] == "inactive":
            return True
        if time.monotonic() > deadline:
            if started:
                return False
            raise UsageError(f"{service} did not start within {seconds:.0f} seconds")
        time.sleep(_POLL_SECONDS)


def _state(manager: Manager, service: str) -> dict[str, str]:
    names = ("ActiveState", "Result", "ExecMainStartTimestampMonotonic")
    output = _call(manager, "show", service, f"--property={','.join(names)}")
    return dict.fromkeys(names, "") | dict(line.partition("=")[::2] for line in output.splitlines())


def _read(folder: PrivateFolder, name: str) -> str | None:
    """Return a unit, None if there is none."""
    try:
        return folder.read(name, _MAX_BYTES).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _ensure_ours(folder: PrivateFolder, name: str, text: str | None) -> None:
    if text is not None and not is_unchanged(text):
        raise UsageError(
            f"{os.path.join(folder.path, name)} was not written by this program, or was changed since",
            hint="Remove it, or rename it, if it is no longer needed.",
        )


def _call(manager: Manager, *words: str) -> str:
    """Return the output of systemctl; raise UsageError if it fails."""
    try:
        command = [*manager.words, *words]
        output = subprocess.check_output(command, stderr=subprocess.STDOUT)  # noqa: S603 - a program of the system
        return output.decode("utf-8", "replace")
    except subprocess.CalledProcessError as error:
        said = error.output.decode("utf-8", "replace").strip()
        raise UsageError(f"systemctl {words[0]} failed: {said or f'exit code {error.returncode}'}") from None
    except OSError as error:
        raise UsageError(f"systemctl could not be started: {error.strerror}") from error


def _read_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()
    except OSError:
        return ""
