"""Runs everything that CI runs, from a fresh clone on a fresh machine.

    python3 tools/run_tests.py             # all of it
    python3 tools/run_tests.py --unit      # one part: --checks, --unit, --plain, --compat or --browser; or several
    python3 tools/run_tests.py --nightly   # instead: the long campaigns, other packages, --pythons
    python3 tools/run_tests.py --pythons   # instead: the unit part and the interop tests with other Pythons
    python3 tools/run_tests.py -k restore  # arguments that are not known here go to pytest
    python3 tools/run_tests.py --write-compat  # all of it, and docs/compat.md written anew

Makes `.venv` with exactly the packages that tools/locks/test.txt names and the checkout, fetches the real restic of
three Debian suites, rclone, rest-server and servers of object stores into `.tools/`, then runs one part after another:

- checks: ruff, mypy, import-linter, and the program from an installation without extras;
- unit: the tests that start no process; if named, with their branch coverage, which has a floor in pyproject.toml;
- plain: only if named, the unit tests of the layers that have compiled code, without the extra `fast`;
- compat: the tests that start processes (the real restic, this program, servers) or take long;
- browser: the tests of the pages that need a browser.

tests/support/parts.py decides which part a test belongs to. Without root or apt this says what is missing and skips
just that; in CI (CI=true) what is missing is a failure.
"""

import ctypes.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import environments, fresh, install_restic, install_servers  # noqa: E402 - the checkout is not installed yet
from tools.lock_dependencies import PYTHONS, find_pythons  # noqa: E402 - as above

VENV = ROOT / ".venv"
PLAIN = ROOT / ".venv-plain"
COMPAT_TABLE = ROOT / "tools" / "compat_table.py"
PARTS = {
    "unit": ["-m", "unit"],
    "plain": ["-m", "unit"],
    "compat": ["-m", "compat"],
    "browser": ["-m", "browser"],
}
"""The tests of each part."""
FOLDERS = {
    "unit": ["--ignore=tests/compat"],
    "plain": [f"tests/{name}" for name in ("format", "localfs", "operations", "repository", "vfs")],
    "browser": ["tests/web"],
}
"""What saves time where a part is run as a whole."""
COVERAGE = ["--cov", "--cov-report=term:skip-covered"]
"""Measures the unit part if it is named, and at night: that doubles its time, and CI comes close to its limit."""
MANY_EXAMPLES = "--hypothesis-profile=night"
"""Lets properties be tried with other and more examples each night; tests/conftest.py says how many."""
AT_NIGHT = ("plain",)
"""Parts that run only if they are named: the nightly set has more of the same."""
QUICK = "not slow and not nightly"
INTEROP = "unit or interop"
IN_CI = os.environ.get("CI", "") == "true"


def run(title: str, command: Sequence[str | Path], **environment: str) -> bool:
    """Run a step, its output passing through; return whether it succeeded."""
    print(f"== {title}", flush=True)
    started = time.monotonic()
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env={**os.environ, **environment})
    print(f"== {title}: {'ok' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s", flush=True)
    return done.returncode == 0


def make_environment(folder: Path, lock: str, *, interpreter: str = sys.executable, without: str = "") -> Path:
    """Make a virtual environment with the checkout and what a lock names; return its bin folder, or end the program."""
    print(f"== make {folder.name} from tools/locks/{lock}.txt", flush=True)
    try:
        return environments.make(folder, lock, interpreter=interpreter, without=without)
    except environments.EnvironmentMissingError as error:
        sys.exit(str(error))


def install_tools() -> bool:
    """Fetch the real programs; say why if that is not possible, and return whether that is fine."""
    print("== fetch the real restic and its servers", flush=True)
    others = [tool for tools in install_restic.OTHERS.values() for tool in tools]
    try:
        with ThreadPoolExecutor(1) as pool:
            # Most of the time is for downloads.
            servers = pool.submit(install_servers.install_servers)
            programs = install_restic.install((*install_restic.RESTIC, *others))
            for path in (*programs, *servers.result()):
                print(path.relative_to(ROOT))
    except install_restic.InstallError as error:
        print(f"{error}; tests that need it {'fail' if IN_CI else 'are skipped'}", flush=True)
        return not IN_CI
    return True


def has_library(name: str) -> bool:
    """Tell whether the dynamic linker finds a library."""
    return ctypes.util.find_library(name) is not None


def install_packages() -> None:
    """Install what some tests need of Debian where it is missing; without it those are skipped, but fail in CI."""
    wanted = {
        "fuse3": ("tests that mount", not os.path.exists("/dev/fuse") or has_library("fuse3")),
        "chromium": ("tests of the pages", shutil.which("chromium") is not None),
        "groff-base": ("tests of the man pages", shutil.which("groff") is not None),
        "mandoc": ("tests of the man pages", shutil.which("mandoc") is not None),
        "backintime-common": ("tests of imports", shutil.which("backintime") is not None),
        "borgbackup": ("tests of docs/moving.md", shutil.which("borg") is not None),
        "cron": ("tests of schedules", os.path.exists("/usr/sbin/cron")),
        "dbus-daemon": ("tests of the desktop", shutil.which("dbus-daemon") is not None),
        "duplicity": ("tests of docs/moving.md", shutil.which("duplicity") is not None),
        "gnome-keyring": ("tests of the key ring", shutil.which("gnome-keyring-daemon") is not None),
        "python3-dbusmock": ("tests of the desktop", os.path.exists("/usr/lib/python3/dist-packages/dbusmock")),
        "rsnapshot": ("tests of imports", shutil.which("rsnapshot") is not None),
        "rsync": ("tests of imports", shutil.which("rsync") is not None),
        "systemd": ("tests of schedules", os.path.exists("/usr/lib/systemd/systemd")),
        # The driver of the browser is linked with it.
        "libatomic1": ("tests of the pages", has_library("atomic")),
    }
    missing = {package: tests for package, (tests, there) in wanted.items() if not there}
    if not missing:
        return
    print(f"== install {' '.join(missing)}", flush=True)
    if not environments.may_install_packages() or not environments.install_debian(*missing):
        for package, tests in missing.items():
            print(f"{package} is missing (apt-get install {package}): {tests} are skipped", flush=True)


def main() -> int:
    """Run all steps; return 0 if all succeeded."""
    parts = ("--checks", "--unit", "--plain", "--compat", "--browser")
    own = (*parts, "--nightly", "--pythons", "--write-compat")
    arguments = [argument for argument in sys.argv[1:] if argument not in own]
    flags = {word.removeprefix("--") for word in sys.argv[1:] if word in own}
    bin_folder = make_environment(VENV, "test")
    results = {"tools": install_tools()}
    install_packages()
    if flags & {"nightly", "pythons"}:
        if "nightly" in flags:
            results |= run_nightly(bin_folder, arguments)
        if not arguments:
            results |= run_pythons()
    elif arguments and not flags:
        results["pytest"] = run_pytest("pytest", bin_folder, arguments)
    else:
        # Who needs the compiled code before it is there waits for it.
        with subprocess.Popen([bin_folder / "python", "-m", "tests.support.engines"], cwd=ROOT):
            results |= run_parts(bin_folder, arguments, flags)
    failed = [name for name, good in results.items() if not good]
    print(f"== failed: {', '.join(failed)}" if failed else "== everything passed", flush=True)
    return 1 if failed else 0


def run_parts(bin_folder: Path, arguments: list[str], flags: set[str]) -> dict[str, bool]:
    """Run the parts that flags name, without any what CI runs; return whether each step succeeded."""
    named = flags - {"write-compat"}
    results = {}
    if not named or "checks" in named:
        results["ruff check"] = run("ruff check", [bin_folder / "ruff", "check", "--quiet", "."])
        results["ruff format"] = run("ruff format", [bin_folder / "ruff", "format", "--quiet", "--check", "."])
        results["mypy"] = run("mypy", [bin_folder / "mypy"])
        results["lint-imports"] = run("lint-imports", [bin_folder / "lint-imports", "--no-cache"])
        results["base install"] = check_base_install()
    with tempfile.TemporaryDirectory() as usage:
        for part, chosen in PARTS.items():
            if part in named or (not named and part not in AT_NIGHT):
                folder = make_environment(PLAIN, "test", without="fast") if part == "plain" else bin_folder
                more = arguments or FOLDERS.get(part, []) + (COVERAGE if named and part == "unit" else [])
                results[part] = run_pytest(part, folder, [*chosen, *more], PYRESTIC_TEST_USAGE=usage)
        if not named and not arguments and all(results.values()):
            check = [] if "write-compat" in flags else ["--check"]
            results["compat table"] = run("compat table", [bin_folder / "python", COMPAT_TABLE, usage, *check])
    return results


def run_nightly(bin_folder: Path, arguments: list[str]) -> dict[str, bool]:
    """Run the long campaigns, then what is quick in other environments.

    These are one without the extra `fast`, and those with the newest and the oldest packages that pyproject.toml
    allows. Arguments for pytest limit it to the campaigns.
    """
    results = {"nightly": run_pytest("nightly", bin_folder, ["-m", "nightly", MANY_EXAMPLES, *arguments])}
    if not arguments:
        results["unit"] = run_pytest("unit", bin_folder, [*PARTS["unit"], *FOLDERS["unit"], *COVERAGE, MANY_EXAMPLES])
        plain = make_environment(PLAIN, "test", without="fast")
        results["plain"] = run_pytest("plain", plain, ["-m", QUICK])
        for name, limits in (("newest", []), ("oldest", environments.oldest_versions())):
            print(f"== make .venv-{name}", flush=True)
            try:
                folder = environments.make_unlocked(ROOT / f".venv-{name}", limits)
            except environments.EnvironmentMissingError as error:
                print(error, flush=True)
                results[name] = False
                continue
            run(f"{name} packages", [folder / "python", "-m", "pip", "list"])
            results[name] = run_pytest(name, folder, ["-m", QUICK])
    return results


def run_pythons() -> dict[str, bool]:
    """Run the unit part and the interop tests with each other Python: those that start here, else those of Debian."""
    results: dict[str, bool] = {}
    wanted = [version for version in PYTHONS if version != f"3.{sys.version_info.minor}"]
    here = find_pythons()
    for version in wanted:
        name = f"Python {version}"
        if version in here:
            folder = make_environment(ROOT / f".venv-{version}", "test", interpreter=here[version])
            results[name] = run_pytest(name, folder, ["-m", INTEROP])
            continue
        try:
            suite = fresh.find_suite(version)
        except install_restic.InstallError as error:
            print(f"{name} is missing: {error}", flush=True)
            continue
        if suite is None:
            print(f"{name} is missing, and no Debian suite has it", flush=True)
        else:
            choice = ["--suite", suite, "--user", "root", "--command", "run_tests"]
            results[name] = run(name, [sys.executable, ROOT / "tools" / "fresh.py", *choice, "--", "-m", INTEROP])
    return results


def run_pytest(title: str, bin_folder: Path, arguments: list[str], **environment: str) -> bool:
    """Run pytest; return whether all passed."""
    # One more than two processors: locks, keys and processes make the tests wait most of their time.
    command = [
        str(bin_folder / "python"),
        "-m",
        "pytest",
        "-q",
        "-n",
        "3",
        "--dist",
        "worksteal",
        "--durations=20",
        *arguments,
    ]
    return run(title, command, **environment)


def check_base_install() -> bool:
    """Install without extras, and see that the program backs up and restores with the base engines alone."""
    folder = make_environment(ROOT / ".venv-base", "base")
    return run("base install", [folder / "python", ROOT / "tools" / "smoke.py"])


if __name__ == "__main__":
    sys.exit(main())
