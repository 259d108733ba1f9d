"""Connections to a message bus with a time limit on every call."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pyrestic.errors import DesktopError, NoServiceError

LIMIT_SECONDS = 2.0
"""How long a call may take; every service on a desktop answers within milliseconds or not at all."""

ABSENT = frozenset(
    f"org.freedesktop.DBus.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner", "Spawn.ExecFailed")
)
"""The errors of a bus on which nobody offers a service."""
_NEVER_START = 2
"""The flag of a message that is not worth starting a service for."""


def find_session_bus(environment: Mapping[str, str], uid: int) -> str:
    """Return the address of a user's bus, "" if there is none; cron sets no variable for it."""
    named = environment.get("DBUS_SESSION_BUS_ADDRESS", "")
    usual = f"/run/user/{uid}/bus"
    return named or (f"unix:path={usual}" if os.path.exists(usual) else "")


def find_system_bus(environment: Mapping[str, str]) -> str:
    """Return the address of the system's bus."""
    return environment.get("DBUS_SYSTEM_BUS_ADDRESS", "") or "unix:path=/run/dbus/system_bus_socket"


class Service(NamedTuple):
    """An object that a program offers on a bus, and one of its interfaces."""

    name: str
    path: str
    interface: str


class Bus:
    """A connection to a message bus; raises DesktopError where a call fails or takes too long."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - jeepney has no types
        self.connection = connection

    def call(self, service: Service, method: str, signature: str = "", *arguments: object, start: bool = True) -> Any:  # noqa: ANN401 - D-Bus has its own types
        """Call a method and return its results as a tuple; without `start` only if the service already runs."""
        from jeepney import DBusAddress, MessageFlag, MessageType, new_method_call

        address = DBusAddress(service.path, service.name, service.interface)
        message = new_method_call(address, method, signature or None, arguments)
        if not start:
            message.header.flags = MessageFlag(_NEVER_START)
        with translating(f"{service.name} {method}"):
            reply = self.connection.send_and_get_reply(message)
            if reply.header.message_type == MessageType.error:
                raise _error_of(f"{service.name} {method}", reply)
            return reply.body

    def read_property(self, service: Service, name: str) -> Any:  # noqa: ANN401 - as above
        """Return the value of a property of a service that runs."""
        properties = Service(service.name, service.path, "org.freedesktop.DBus.Properties")
        answer = self.call(properties, "Get", "ss", service.interface, name, start=False)
        with translating(f"{service.name} {name}"):
            ((_, value),) = answer
        return value


@contextlib.contextmanager
def open_bus(address: str, *, with_descriptors: bool = False) -> Iterator[Bus]:
    """Connect to the bus at an address for the time of a with block; raise NoServiceError if that is not possible."""
    bus = connect(address, with_descriptors=with_descriptors)
    try:
        yield bus
    finally:
        bus.connection.close()


def connect(address: str, *, with_descriptors: bool = False) -> Bus:
    """Return a connection to a bus, to be closed by the caller; raise NoServiceError if that is not possible."""
    if not address:
        raise NoServiceError("there is no message bus")
    try:
        # An extra, and its import takes 30 ms that only runs with something to do should spend.
        from jeepney.bus import get_bus
        from jeepney.io.blocking import DBusConnection, prep_socket
    except ImportError as error:
        raise NoServiceError("jeepney is not installed", hint="Install pyrestic with the extra `desktop`.") from error

    class LimitedConnection(DBusConnection):  # type: ignore[misc]  # jeepney has no types
        """Has a limit where its callers, its own greeting included, name none."""

        def send_and_get_reply(self, message: Any, *, timeout: float | None = None, **more: Any) -> Any:  # noqa: ANN401
            limit = LIMIT_SECONDS if timeout is None else timeout
            return super().send_and_get_reply(message, timeout=limit, **more)

        def recv_until_filtered(self, queue: Any, *, timeout: float | None = None) -> Any:  # noqa: ANN401
            return super().recv_until_filtered(queue, timeout=LIMIT_SECONDS if timeout is None else timeout)

    socket = None
    try:
        socket = prep_socket(get_bus(address), with_descriptors, timeout=LIMIT_SECONDS)
        # A bus that reads nothing must not block what is sent either.
        socket.settimeout(LIMIT_SECONDS)
        return Bus(LimitedConnection(socket, with_descriptors))
    except Exception as error:  # Its parser raises anything if something other than a bus answers.
        if socket is not None:
            socket.close()
        raise NoServiceError(f"the message bus does not answer: {str(error) or type(error).__name__}") from error


@contextlib.contextmanager
def translating(what: str) -> Iterator[None]:
    """Turn anything that a connection raises into a DesktopError."""
    try:
        yield
    except DesktopError:
        raise
    except TimeoutError as error:
        raise DesktopError(f"{what}: no answer within {LIMIT_SECONDS:g} seconds") from error
    except Exception as error:  # As above.
        raise DesktopError(f"{what}: {str(error) or type(error).__name__}") from error


def _error_of(what: str, reply: Any) -> DesktopError:  # noqa: ANN401 - jeepney has no types
    from jeepney import HeaderFields

    name = reply.header.fields.get(HeaderFields.error_name, "")
    text = next((word for word in reply.body if isinstance(word, str)), name)
    return (NoServiceError if name in ABSENT else DesktopError)(f"{what}: {text}")
