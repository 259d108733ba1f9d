"""Makes virtual environments with the checkout and exactly what a lock names, for quickstart.py and run_tests.py."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "tools" / "locks"
EXTRAS = ("desktop", "fast", "fsspec", "mount", "notify", "rclone", "web", "test")


class EnvironmentMissingError(Exception):
    """Why there is no environment, in one sentence."""


def make(folder: Path, lock: str, *, interpreter: str = sys.executable, without: str = "") -> Path:
    """Return the bin folder of an environment with the packages of a lock ("base", "run" or "test") and the checkout.

    Every package has the version and one of the hashes that the lock names; nothing else is installed, what builds the
    checkout included. `without` is an extra whose packages are left out. Raises EnvironmentMissingError.
    """
    python = make_empty(folder, interpreter)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
        chosen.write(leave_out((LOCKS / f"{lock}.txt").read_text(), without))
        chosen.flush()
        install(python, "--require-hashes", "--requirement", chosen.name)
    install(python, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    return folder / "bin"


def leave_out(lock: str, extra: str) -> str:
    """Return the text of a lock without the packages of an extra that the tests do not need themselves."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = set(extras[extra]) - set(extras["test"]) if extra else set()
    gone = tuple(f"{re.split('[<>=]', name)[0]}==" for name in wanted)
    return "".join(entry for entry in re.split(r"^(?! )", lock, flags=re.MULTILINE) if not entry.startswith(gone))


def make_unlocked(folder: Path, limits: Sequence[str]) -> Path:
    """Return the bin folder of an environment with all extras, in the newest versions within these constraints.

    Raises EnvironmentMissingError.
    """
    python = make_empty(folder)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.writelines(f"{limit}\n" for limit in limits)
        constraints.flush()
        newest = ("--upgrade", "--upgrade-strategy", "eager", "--constraint", constraints.name)
        install(python, *newest, "--editable", f"{ROOT}[{','.join(EXTRAS)}]")
    return folder / "bin"


def oldest_versions() -> list[str]:
    """Return the lower bounds of what the program needs, its extras included, as constraints."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra] if extra != "test" else []
    return [
        f"{name}=={version}" for name, version in re.findall(r"^([\w.-]+)>=([\d.]+)", "\n".join(wanted), re.MULTILINE)
    ]


def make_empty(folder: Path, interpreter: str = sys.executable) -> str:
    """Return the Python of the environment in a folder, made if there is none; raise EnvironmentMissingError."""
    python = folder / "bin" / "python"
    if not (folder / "bin" / "pip").exists() and importlib.util.find_spec("ensurepip") is None:
        _install_venv_module()
    if not python.exists() and subprocess.run([interpreter, "-m", "venv", folder]).returncode != 0:
        raise EnvironmentMissingError("a virtual environment could not be made")
    return str(python)


def install(python: str, *arguments: str) -> None:
    """Install packages by pip; raise EnvironmentMissingError."""
    command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments]
    if subprocess.run(command).returncode != 0:
        raise EnvironmentMissingError("the packages could not be installed")


def may_install_packages() -> bool:
    """Tell whether Debian packages can be installed by this user on this machine."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install_debian(*packages: str) -> bool:
    """Install packages of Debian; return whether that worked."""
    subprocess.run(["apt-get", "-qq", "update"])
    command = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *packages]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0


def _install_venv_module() -> None:
    package = f"python3.{sys.version_info.minor}-venv"
    if not may_install_packages():
        raise EnvironmentMissingError(
            f"The package {package} is missing: sudo apt-get install {package}, then run this again."
        )
    if not install_debian(package):
        raise EnvironmentMissingError(f"{package} could not be installed")
