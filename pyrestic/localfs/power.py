"""Whether this machine runs on mains power, and how full its batteries are, as the kernel reports it.

The kernel's report is often incomplete: the adapter of a desktop may say 0, a dock or a USB-C charger may not appear at
all, and one of two batteries is often idle. So any sign of mains power counts, and only a battery that discharges
without one means battery power.
"""

import os
from typing import NamedTuple

POWER_FOLDER = "/sys/class/power_supply"
_ADAPTERS = frozenset({"Mains", "USB", "UPS", "Wireless"})
_CONNECTED = frozenset({"1", "2"})
"""Values of `online`: fixed and programmable voltage."""
_CHARGED_BY_MAINS = frozenset({"Charging", "Full", "Not charging"})
_ATTRIBUTES = (
    "type",
    "scope",
    "present",
    "online",
    "status",
    "capacity",
    "energy_now",
    "energy_full",
    "charge_now",
    "charge_full",
)
_MOST_BYTES = 100


class Power(NamedTuple):
    """The power of a machine; `level` is the charge of its batteries in percent, None if that is not known."""

    on_mains: bool
    level: int | None = None


_Supply = dict[str, str]


def read_power(folder: str = POWER_FOLDER) -> Power:
    """Return the power of this machine; a machine that reports nothing runs on mains power."""
    supplies = [_read_supply(os.path.join(folder, name)) for name in _list(folder)]
    ours = [supply for supply in supplies if supply.get("scope") != "Device"]
    batteries = [one for one in ours if one.get("type") == "Battery" and one.get("present") != "0"]
    adapters = [one for one in ours if one.get("type") in _ADAPTERS and "online" in one]
    return Power(_is_on_mains(batteries, adapters), _find_level(batteries))


def _list(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read_supply(path: str) -> _Supply:
    found = {name: _read(os.path.join(path, name)) for name in _ATTRIBUTES}
    return {name: value for name, value in found.items() if value}


def _read(path: str) -> str:
    """Return an attribute, "" if the kernel does not report it."""
    try:
        with open(path, "rb", buffering=0) as file:
            return (file.read(_MOST_BYTES) or b"").decode("ascii", "replace").strip()
    except OSError:
        # Many drivers answer ENODEV or EAGAIN while they do not know.
        return ""


def _is_on_mains(batteries: list[_Supply], adapters: list[_Supply]) -> bool:
    if not batteries:
        return True
    if any(one["online"] in _CONNECTED for one in adapters):
        return True
    states = {battery.get("status", "Unknown") for battery in batteries}
    if "Discharging" in states:
        return False
    if states & _CHARGED_BY_MAINS:
        return True
    return not any(one["online"] == "0" for one in adapters)


def _find_level(batteries: list[_Supply]) -> int | None:
    if not batteries:
        return None
    for unit in ("energy", "charge"):
        pairs = [(_number(one, f"{unit}_now"), _number(one, f"{unit}_full")) for one in batteries]
        known = [(now, full) for now, full in pairs if now is not None and full]
        if len(known) == len(batteries):
            return _percent(100 * sum(now for now, _ in known) / sum(full for _, full in known))
    levels = [level for level in (_number(one, "capacity") for one in batteries) if level is not None]
    return _percent(sum(levels) / len(levels)) if levels else None


def _number(supply: _Supply, name: str) -> int | None:
    text = supply.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() else None


def _percent(number: float) -> int:
    return max(0, min(100, round(number)))
