"""Sleep, as logind manages it: holding it off while something is stored, and noticing that it begins or ends."""

import contextlib
import os
import time
from collections.abc import Iterator

from pyrestic.desktop.bus import Bus, Service, connect, open_bus, translating
from pyrestic.errors import DesktopError

_NAME = "org.freedesktop.login1"
_MANAGER = Service(_NAME, "/org/freedesktop/login1", f"{_NAME}.Manager")
_BUS = Service("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_SIGNAL = "PrepareForSleep"


@contextlib.contextmanager
def hold_sleep_off(system_bus: str, why: str) -> Iterator[str]:
    """Keep the machine from going to sleep when nobody uses it, for the time of a with block.

    The block gets why that failed, "" if it succeeded: logind may refuse it, and there may be none. A closed lid or a
    person's command still suspends the machine. The lock is a descriptor: it never outlives this process.
    """
    try:
        descriptor, reason = _inhibit(system_bus, why), ""
    except DesktopError as error:
        descriptor, reason = None, str(error)
    try:
        yield reason
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _inhibit(system_bus: str, why: str) -> int:
    with open_bus(system_bus, with_descriptors=True) as bus:
        answer = bus.call(_MANAGER, "Inhibit", "ssss", "sleep:idle", "pyrestic", why, "block")
        with translating("logind"):
            (lock,) = answer
            descriptor: int = lock.to_raw_fd()
    # Received descriptors are inherited, and a hook that runs on would hold sleep off for as long.
    os.set_inheritable(descriptor, False)
    return descriptor


class SleepSignals:
    """The signals of logind: True when the machine is about to sleep, False when it has woken up.

    Without logind, or once the bus is gone, there are none.
    """

    def __init__(self, bus: Bus | None) -> None:
        self._bus = bus

    def fileno(self) -> int:
        """Return the descriptor to wait for together with others, -1 without a bus."""
        return -1 if self._bus is None else int(self._bus.connection.sock.fileno())

    def wait(self, seconds: float) -> bool | None:
        """Return the next signal, or None if there is none within this time."""
        deadline = time.monotonic() + seconds
        while self._bus is not None:
            from jeepney import HeaderFields

            try:
                message = self._bus.connection.receive(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return None
            except Exception:  # The bus was restarted, or something other than a bus answers.
                self.close()
                break
            if message.header.fields.get(HeaderFields.member) == _SIGNAL and message.body:
                return bool(message.body[0])
        time.sleep(max(0.0, deadline - time.monotonic()))
        return None

    def close(self) -> None:
        """Close the connection."""
        if self._bus is not None:
            self._bus.connection.close()
            self._bus = None


@contextlib.contextmanager
def watch_sleep(system_bus: str) -> Iterator[SleepSignals]:
    """Receive logind's signals for the time of a with block."""
    signals = SleepSignals(None)
    with contextlib.suppress(DesktopError):
        bus = connect(system_bus)
        signals = SleepSignals(bus)
        rule = f"type='signal',sender='{_NAME}',interface='{_MANAGER.interface}',member='{_SIGNAL}'"
        bus.call(_BUS, "AddMatch", "s", rule)
    with contextlib.closing(signals):
        yield signals
