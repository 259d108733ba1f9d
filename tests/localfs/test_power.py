"""The power of machines, each described by the files that its kernel shows."""

from pathlib import Path

import pytest

from pyrestic.localfs.power import Power, read_power

Supplies = dict[str, dict[str, str]]


def battery(status: str, **more: str) -> dict[str, str]:
    return {"type": "Battery", "status": status, **more}


def adapter(online: str, kind: str = "Mains") -> dict[str, str]:
    return {"type": kind, "online": online}


FULL = {"energy_now": "50000000", "energy_full": "50000000"}
MACHINES: dict[str, tuple[Supplies, Power]] = {
    "a desktop without entries": ({}, Power(True)),
    "a desktop whose adapter says 0": ({"AC": adapter("0")}, Power(True)),
    "a desktop with a mouse that drains": (
        {"hidpp_battery_0": battery("Discharging", scope="Device", capacity="20")},
        Power(True),
    ),
    "a laptop with a charger": ({"AC": adapter("1"), "BAT0": battery("Charging", capacity="80")}, Power(True, 80)),
    "a laptop on battery": ({"AC": adapter("0"), "BAT0": battery("Discharging", capacity="41")}, Power(False, 41)),
    "a weak charger that does not stop the battery from draining": (
        {"AC": adapter("1"), "BAT0": battery("Discharging", capacity="60")},
        Power(True, 60),
    ),
    "a USB-C charger with programmable voltage": (
        {
            "ucsi-1": adapter("0", "USB"),
            "ucsi-2": adapter("2", "USB"),
            "BAT0": battery("Discharging", capacity="9"),
        },
        Power(True, 9),
    ),
    "two batteries, of which one drains": (
        {
            "AC": adapter("0"),
            "BAT0": battery("Not charging", energy_now="20000000", energy_full="20000000"),
            "BAT1": battery("Discharging", energy_now="10000000", energy_full="40000000"),
        },
        Power(False, 50),
    ),
    "two batteries at a charger": (
        {"AC": adapter("1"), "BAT0": battery("Full", **FULL), "BAT1": battery("Charging", capacity="10")},
        Power(True, 10),
    ),
    "a dock that the kernel does not report": ({"BAT0": battery("Charging", capacity="33")}, Power(True, 33)),
    "an adapter that says 0 beside a full battery": (
        {"AC": adapter("0"), "BAT0": battery("Full", **FULL)},
        Power(True, 100),
    ),
    "a charge limit, so that the battery is not charging": (
        {"AC": adapter("0"), "BAT0": battery("Not charging", charge_now="4000", charge_full="5000")},
        Power(True, 80),
    ),
    "a battery bay without battery": (
        {"AC": adapter("0"), "BAT1": battery("Discharging", present="0")},
        Power(True),
    ),
    "a battery of unknown state, no adapter": ({"BAT0": battery("Unknown", capacity="70")}, Power(True, 70)),
    "a battery of unknown state, an adapter that says 0": (
        {"AC": adapter("0"), "BAT0": battery("Unknown", capacity="70")},
        Power(False, 70),
    ),
    "a tablet on a wireless charger, a phone that we charge": (
        {
            "wireless": adapter("1", "Wireless"),
            "phone": battery("Charging", scope="Device", capacity="5"),
            "BAT0": battery("Discharging", capacity="55", present="1"),
        },
        Power(True, 55),
    ),
    "a battery without any state": ({"BAT0": {"type": "Battery"}}, Power(True)),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_power_of_a_machine_is_recognized(machine: str, tmp_path: Path) -> None:
    supplies, power = MACHINES[machine]
    for name, attributes in supplies.items():
        (tmp_path / name).mkdir()
        for attribute, value in attributes.items():
            (tmp_path / name / attribute).write_text(f"{value}\n")
    assert read_power(str(tmp_path)) == power


def test_there_are_seventeen_machines() -> None:
    assert len(MACHINES) == 17


def test_a_machine_that_shows_no_supplies_runs_on_mains_power(tmp_path: Path) -> None:
    assert read_power(str(tmp_path / "missing")) == Power(True)


def test_an_attribute_that_is_no_number_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "BAT0").mkdir()
    for name, value in {"type": "Battery", "status": "Discharging", "capacity": "-1", "energy_now": "x"}.items():
        (tmp_path / "BAT0" / name).write_text(value)
    (tmp_path / "BAT0" / "charge_now").mkdir()
    assert read_power(str(tmp_path)) == Power(False)
