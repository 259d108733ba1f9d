"""Runs everything that CI runs, from a fresh clone on a fresh machine.

    python3 tools/run_tests.py             # all of it
    python3 tools/run_tests.py --quick     # without the slow tests
    python3 tools/run_tests.py -k restore  # arguments that are not known here go to pytest
    python3 tools/run_tests.py --write-compat  # all of it, and docs/compat.md written anew

Makes `.venv`, installs the checkout with its extras and what the tests need, fetches the real restic of three Debian
suites, rclone and rest-server into `.tools/`, then runs ruff, mypy, import-linter and pytest. Without root or apt it
says what is missing and skips just that; in CI (CI=true) what is missing is a failure.
"""

import ctypes.util
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import install_restic  # noqa: E402 - the checkout is not installed yet

VENV = ROOT / ".venv"
COMPAT_TABLE = ROOT / "tools" / "compat_table.py"
IN_CI = os.environ.get("CI", "") == "true"


def run(title: str, command: Sequence[str | Path], **environment: str) -> bool:
    """Run a step, its output passing through; return whether it succeeded."""
    print(f"== {title}", flush=True)
    started = time.monotonic()
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env={**os.environ, **environment})
    print(f"== {title}: {'ok' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s", flush=True)
    return done.returncode == 0


def make_environment(folder: Path, requirement: str) -> Path:
    """Make a virtual environment with the checkout installed; return its bin folder, or end the program."""
    if importlib.util.find_spec("ensurepip") is None and not (folder / "bin" / "pip").exists():
        install_venv_module()
    python = str(folder / "bin" / "python")
    if not os.path.exists(python) and not run(f"make {folder.name}", [sys.executable, "-m", "venv", str(folder)]):
        sys.exit("a virtual environment could not be made")
    command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--editable", requirement]
    if not run(f"install {requirement}", command):
        sys.exit("the packages could not be installed")
    return folder / "bin"


def install_venv_module() -> None:
    """Install Debian's package for virtual environments if we may; end the program otherwise."""
    package = f"python3.{sys.version_info.minor}-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"the package {package} is missing: install it with apt-get install {package}, then run this again")
    run("apt-get update", ["apt-get", "-qq", "update"])
    if not run(f"install {package}", ["apt-get", "-qq", "install", "--yes", package]):
        sys.exit(f"{package} could not be installed")


def install_tools() -> bool:
    """Fetch the real programs; say why if that is not possible, and return whether that is fine."""
    print("== fetch the real restic and its servers", flush=True)
    others = [tool for tools in install_restic.OTHERS.values() for tool in tools]
    try:
        for path in install_restic.install((*install_restic.RESTIC, *others)):
            print(path.relative_to(ROOT))
    except install_restic.InstallError as error:
        print(f"{error}; tests that need it {'fail' if IN_CI else 'are skipped'}", flush=True)
        return not IN_CI
    return True


def install_fuse() -> None:
    """Install libfuse where a file system could be mounted and it is missing; without it those tests are skipped."""
    if not os.path.exists("/dev/fuse") or ctypes.util.find_library("fuse3"):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("libfuse is missing (apt-get install fuse3): tests that mount are skipped", flush=True)
        return
    run("apt-get update", ["apt-get", "-qq", "update"])
    if not run("install fuse3", ["apt-get", "-qq", "install", "--yes", "fuse3"]):
        print("libfuse could not be installed: tests that mount are skipped", flush=True)


def install_chromium() -> None:
    """Install the browser in which the pages are tested; without it those tests are skipped, but fail in CI."""
    if shutil.which("chromium"):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("chromium is missing (apt-get install chromium): tests of the pages are skipped", flush=True)
        return
    run("apt-get update", ["apt-get", "-qq", "update"])
    if not run("install chromium", ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium"]):
        print("chromium could not be installed: tests of the pages are skipped", flush=True)


def main() -> int:
    """Run all steps; return 0 if all succeeded."""
    arguments = sys.argv[1:]
    quick = "--quick" in arguments
    write_compat = "--write-compat" in arguments
    arguments = [argument for argument in arguments if argument not in ("--quick", "--write-compat")]
    bin_folder = make_environment(VENV, ".[fast,mount,web,test]")
    results = {"tools": install_tools()}
    install_fuse()
    install_chromium()
    if not arguments:
        results["ruff check"] = run("ruff check", [bin_folder / "ruff", "check", "--quiet", "."])
        results["ruff format"] = run("ruff format", [bin_folder / "ruff", "format", "--quiet", "--check", "."])
        results["mypy"] = run("mypy", [bin_folder / "mypy"])
        results["lint-imports"] = run("lint-imports", [bin_folder / "lint-imports", "--no-cache"])
        results["base install"] = check_base_install()
    # One more than two processors: locks, keys and processes make the tests wait most of their time.
    pytest = [str(bin_folder / "python"), "-m", "pytest", "-q", "-n", "3", "--dist", "worksteal", *arguments]
    if quick:
        pytest += ["-m", "not slow"]
    with tempfile.TemporaryDirectory() as usage:
        results["pytest"] = run("pytest", pytest, PYRESTIC_TEST_USAGE=usage)
        if not arguments and not quick and all(results.values()):
            check = [] if write_compat else ["--check"]
            results["compat table"] = run("compat table", [bin_folder / "python", COMPAT_TABLE, usage, *check])
    failed = [name for name, good in results.items() if not good]
    print(f"== failed: {', '.join(failed)}" if failed else "== everything passed", flush=True)
    return 1 if failed else 0


def check_base_install() -> bool:
    """Install without extras, and see that the program backs up and restores with the base engines alone."""
    folder = make_environment(ROOT / ".venv-base", ".")
    return run("base install", [folder / "python", ROOT / "tools" / "smoke.py"])


if __name__ == "__main__":
    sys.exit(main())
