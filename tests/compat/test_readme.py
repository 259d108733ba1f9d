"""README.md to the letter: every line of its blocks, in order, in a home that is new.

The commands are read from README.md. Only places that a test must not touch are replaced (`/mnt/disk`, `/home/me`,
`/tmp`), as are the words that a reader replaces (`FOLDER`, `VERSION`, `BUCKET`, `…`). Packages come from the running
environment; the nightly tests install them as README.md says.
"""

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.b2 import BUCKET
from tests.support.checkout import Checkout
from tests.support.fuse import why_no_mount
from tests.support.restic import ROOT
from tests.support.webserver import why_no_server
from tools.b2_server import B2Server

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|crontab)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TRY, PACKAGE, INSTALL, DISK, B2 = (block for kind, block in BLOCKS if kind == "sh")
(CRON,) = (block for kind, block in BLOCKS if kind == "crontab")
FROM_PIP = re.compile(r"\S*/pip install .*")
UNTIL_CTRL_C = {"pyrestic mount": why_no_mount, "pyrestic serve": why_no_server}


def commands(block: str) -> list[str]:
    """The lines of a block without their comments."""
    lines = [re.sub(r"(^|\s)#\s.*$", "", line).strip() for line in block.splitlines()]
    return [line for line in lines if line]


class Reader:
    """Who types the lines of README.md into a shell, in a new home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home" / "me"
        self.home.mkdir(parents=True)
        self.folder = folder
        self.variables = ""
        """Lines that set variables, which a shell would keep."""
        self.replaced = {"/mnt/disk": f"{folder}/disk", "/home/me": str(self.home), "/tmp/": f"{folder}/tmp/"}
        (folder / "tmp").mkdir()
        (self.home / "Documents").mkdir()
        (self.home / "Mail").mkdir()
        for name in ("notes.txt", "Documents/letter", "Mail/inbox"):
            (self.home / name).write_text(f"this is {name}\n" * 50)

    def environment(self) -> dict[str, str]:
        """What a new login has, and how pip reaches its index here."""
        passed_on = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LD_"))}
        return passed_on | {
            "HOME": str(self.home),
            "LOGNAME": "me",
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
        }

    def replace(self, line: str) -> str:
        """The line with other places."""
        places = "|".join(map(re.escape, self.replaced))
        return re.sub(rf"(?<![\w.])({places})", lambda match: self.replaced[match[0]], line)

    def type(self, line: str, cwd: Path | None = None) -> str:
        """Run a line and return what it printed; fail if it failed."""
        line = self.replace(line)
        if line.startswith("export "):
            self.variables += line + "\n"
            line = "true"
        done = subprocess.run(
            ["sh", "-c", self.variables + line],
            env=self.environment(),
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{line} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def type_until_ctrl_c(self, line: str) -> str:
        """Run a line that serves until Ctrl-C, press that when it is ready, and return what it printed before."""
        process = subprocess.Popen(
            ["sh", "-c", f'{self.variables}exec_last() {{ exec "$@"; }}; {self._with_exec(self.replace(line))}'],
            env=self.environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        printed = ""
        try:
            for text in process.stdout:
                # Once: a signal during the flush lets Python write the line again.
                if re.search("(?i)quit with", text) and not re.search("(?i)quit with", printed):
                    process.send_signal(signal.SIGINT)
                printed += text
            assert process.wait(60) in (0, 130), printed
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        assert re.search("(?i)quit with", printed), printed
        return printed

    @staticmethod
    def _with_exec(line: str) -> str:
        """The line with its last command in place of the shell, so that it hears of Ctrl-C."""
        before, joint, last = line.rpartition("&& ")
        return f"{before}{joint}exec_last {last}"

    def install_program(self, *flags: str) -> None:
        """Put the running program where README.md's pip installs it."""
        folder = self.home / ".local/share/pyrestic/bin"
        program = folder / "pyrestic"
        words = shlex.join([sys.executable, "-m", "pyrestic", *flags])
        program.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {words} "$@"\n')
        program.chmod(0o755)

    def install(self) -> None:
        """Go through the block about the installation, but for pip."""
        lines = commands(INSTALL)
        assert len([line for line in lines if FROM_PIP.fullmatch(line)]) == 2
        for line in lines:
            if not FROM_PIP.fullmatch(line):
                # pip is what takes a new environment its time.
                self.type(line.replace("-m venv", "-m venv --without-pip"), ROOT)
            elif "--no-deps" in line:
                self.install_program()

    def snapshots(self) -> int:
        """How many snapshots there are."""
        return self.type("pyrestic list snapshots --quiet").count("\n")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader; what was mounted in vain is unmounted."""
    reader = Reader(tmp_path)
    yield reader
    mounted = tmp_path / "tmp" / "snapshots"
    if os.path.ismount(mounted):
        subprocess.run(["umount", mounted], check=True)


def go_through_disk(reader: Reader) -> None:
    """Type the block about a disk, then what cron does."""
    for line in commands(DISK):
        waiting = next((why for start, why in UNTIL_CTRL_C.items() if start in line), None)
        if waiting is None:
            reader.type(line)
        elif not waiting():
            reader.type_until_ctrl_c(line)
    assert (reader.folder / "tmp" / "mail" / "inbox").read_text() == (reader.home / "Mail" / "inbox").read_text()
    assert (reader.home / "old.txt").read_text() == (reader.home / "notes.txt").read_text()
    password = reader.home / ".backup-password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert len(password.read_text()) > 30
    kept = password.read_bytes()
    with pytest.raises(AssertionError, match="backup-password"):
        reader.type(next(line for line in commands(DISK) if "umask" in line))
    assert password.read_bytes() == kept, "the line for the password is typed twice"
    go_through_cron(reader)


def go_through_cron(reader: Reader) -> None:
    """Run the line of the crontab as cron does: hardly any variable, its own PATH, the shell sh."""
    before = reader.snapshots()
    (reader.home / "notes.txt").write_text("changed before cron runs\n")
    (line,) = commands(CRON)
    when, command = re.split(r"(?<=^\S \S \S \S \S)\s", line, maxsplit=1)
    assert when == "0 * * * *"
    assert "%" not in command, "cron takes that for the end of a line"
    environment = {"SHELL": "/bin/sh", "HOME": str(reader.home), "LOGNAME": "me", "PATH": "/usr/bin:/bin"}
    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", "-c", reader.replace(command)],
            env=environment,
            cwd=reader.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        # Whatever is printed comes as a mail every hour.
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert reader.snapshots() == before + 1


def test_every_line_runs_in_a_new_home(reader: Reader) -> None:
    reader.install()
    go_through_disk(reader)


def test_every_line_about_b2_runs_in_a_new_home(reader: Reader, b2: B2Server) -> None:
    reader.install()
    reader.install_program("-o", f"b2.endpoint={b2.url}")
    for line in commands(DISK)[:3]:
        reader.type(line)
    for line in commands(B2):
        shown = line.replace("ACCOUNT_ID=…", f"ACCOUNT_ID={b2.master_id}")
        shown = shown.replace("ACCOUNT_KEY=…", f"ACCOUNT_KEY={b2.master_key}").replace("BUCKET", BUCKET)
        if "as-of" in shown:
            shown = re.sub(r'as-of="[^"]*"', time.strftime('as-of="%Y-%m-%d %H:%M:%S"'), shown)
        assert "…" not in shown
        reader.type(shown)


def test_the_commands_to_try_it_are_those_that_are_tried_on_fresh_machines() -> None:
    found = commands(TRY)
    assert found == ["python3 tools/quickstart.py FOLDER", "python3 tools/run_tests.py"]
    assert all((ROOT / line.split()[1]).is_file() for line in found)


def test_the_commands_to_install_a_package_differ_in_the_installer_alone() -> None:
    wheel = "'./pyrestic-VERSION-py3-none-any.whl[fast]'"
    assert commands(PACKAGE) == [f"pipx install {wheel}", f"uv tool install {wheel}"]


def test_the_extras_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)
    assert set(named) == extras.keys() - {"bench", "test"}


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_every_line_runs_in_a_new_home_with_what_pip_installs(reader: Reader, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "fixtures", "__pycache__"), symlinks=True)
    for line in commands(INSTALL):
        reader.type(line, checkout)
    go_through_disk(reader)
    reader.type(commands(TRY)[0].replace("FOLDER", "docs"), checkout)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("installer", ["pipx", "uv"])
def test_the_package_that_is_built_is_installed_by_the_line(reader: Reader, tmp_path: Path, installer: str) -> None:
    done = Checkout(tmp_path / "checkout").release("--unreleased", "--output", str(tmp_path / "made"))
    assert done.returncode == 0, done.stderr
    wheel = Path(done.stdout.splitlines()[-1])
    (line,) = (line for line in commands(PACKAGE) if line.startswith(installer))
    line = line.replace("VERSION", wheel.name.split("-")[1])
    if shutil.which(installer, path=reader.environment()["PATH"]) is None:
        # pip takes the same name of a package; its folder is put where the installers put their links.
        reader.type("python3 -m venv tools && mkdir -p .local && ln -s ../tools/bin .local/bin")
        line = "~/tools/bin/pip install " + shlex.quote(shlex.split(line)[-1])
    reader.type(line, wheel.parent)
    reader.type("export PATH=~/.local/bin:/usr/bin:/bin")
    assert reader.type("pyrestic version").startswith(f"pyrestic {wheel.name.split('-')[1]} ")
    for command in commands(DISK):
        if not any(start in command for start in UNTIL_CTRL_C):
            reader.type(command)
    assert (reader.home / "old.txt").read_text() == (reader.home / "notes.txt").read_text()
