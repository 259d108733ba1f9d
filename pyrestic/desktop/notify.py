"""Notifications on the desktop."""

import html

from pyrestic.desktop.bus import Service, open_bus

_NAME = "org.freedesktop.Notifications"
_SERVICE = Service(_NAME, "/org/freedesktop/Notifications", _NAME)
_NORMAL, _CRITICAL = 1, 2
_SERVERS_CHOICE = -1


def show_notification(session_bus: str, title: str, text: str, *, stays: bool = False) -> int:
    """Show a notification and return its number; one that `stays` remains until it is dismissed.

    Raises NoServiceError without a desktop, DesktopError if it does not answer.
    """
    with open_bus(session_bus) as bus:
        (capabilities,) = bus.call(_SERVICE, "GetCapabilities")
        body = html.escape(text, quote=False) if "body-markup" in capabilities else text
        hints = {"urgency": ("y", _CRITICAL if stays else _NORMAL), "desktop-entry": ("s", "pyrestic")}
        (number,) = bus.call(
            _SERVICE, "Notify", "susssasa{sv}i", "pyrestic", 0, "", title, body, [], hints, _SERVERS_CHOICE
        )
    return int(number)
