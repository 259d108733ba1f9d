"""The texts of the units, which the real systemd reads without complaint."""

import os
import subprocess
from pathlib import Path

import pytest

from pyrestic.localfs.own_text import is_unchanged
from pyrestic.schedule.units import SERVICE, TIMER, make_units
from tests.support.needs import need_program

WORDS = ["/usr/bin/pyrestic", "run", "--due"]


def without_mark(text: str) -> str:
    return text.partition("\n")[2]


def test_the_timer_and_the_service() -> None:
    units = make_units(WORDS, {}, {})
    assert without_mark(units[TIMER]) == (
        "[Unit]\nDescription=Run the backup tasks that are due\n\n"
        "[Timer]\nOnCalendar=*:0/10\nOnStartupSec=2min\nRandomizedDelaySec=60\nFixedRandomDelay=true\n"
        "AccuracySec=1min\n\n[Install]\nWantedBy=timers.target\n"
    )
    assert without_mark(units[SERVICE]) == (
        "[Unit]\nDescription=Backup tasks that are due\n\n"
        "[Service]\nType=oneshot\nExecStart=/usr/bin/pyrestic run --due\nNice=19\nCPUSchedulingPolicy=batch\n"
        "IOSchedulingClass=idle\nCPUWeight=20\nIOWeight=20\nUMask=0077\nSuccessExitStatus=3 130\nTimeoutStopSec=150\n"
        "KillMode=mixed\n"
    )


def test_variables_and_credentials() -> None:
    service = make_units(WORDS, {"XDG_STATE_HOME": "/a b/$x%"}, {"b2": "/etc/c"})[SERVICE]
    assert '\nEnvironment="XDG_STATE_HOME=/a b/$x%%"\nLoadCredential=b2:/etc/c\nNice=19\n' in service


def test_a_unit_that_somebody_changed_is_not_ours() -> None:
    for text in make_units(WORDS, {}, {}).values():
        assert is_unchanged(text)
        assert not is_unchanged(text.replace("Description=", "Description=My "))
        assert not is_unchanged(without_mark(text))
        assert not is_unchanged("")


@pytest.mark.process
def test_the_real_systemd_finds_nothing_wrong_and_the_program_at_any_path(tmp_path: Path) -> None:
    """The check ends with 0 whatever it finds: it only prints it."""
    verify = need_program("systemd-analyze", "systemd")
    variables = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}

    def complaints(program: Path) -> str:
        words = [str(program), "run", "--due"]
        units = make_units(words, {"XDG_STATE_HOME": str(program)}, {"x": "/etc/hostname"})
        for name, text in units.items():
            (tmp_path / name).write_text(text)
        command = [verify, "--user", "--man=no", "verify", *(str(tmp_path / name) for name in units)]
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        return done.stdout + done.stderr

    for name in ("a %h b", "a \"b\" 'c' $HOME %h \\x"):
        program = tmp_path / name / "pyrestic"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
        assert complaints(program) == ""
    assert "is not executable" in complaints(tmp_path / "a %h c" / "pyrestic")
