"""Which part of the suite a test belongs to, and what keeps the unit part free of processes.

`nightly` are the long campaigns, `browser` what a browser does, `compat` what starts processes (the real restic, this
program, servers) or takes long, and `unit` the rest. tools/run_tests.py runs one part after another.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrestic.native.background_compiler import _PROGRAM

PROGRAMS = frozenset({"pyrestic", "newest", "restic", "server"})
"""The fixtures that are programs to start, or one that runs."""
_WHOLE_MODULE = re.compile(r"^pytestmark = .*\b(browser|nightly|process|restic|slow)\b", re.MULTILINE)
_STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"})


def find_part(item: pytest.Item) -> str:
    """Return the one part that a test belongs to."""
    if item.get_closest_marker("nightly"):
        return "nightly"
    fixtures = set(getattr(item, "fixturenames", ()))
    if "browser" in fixtures:
        return "browser"
    marked = any(item.get_closest_marker(name) for name in ("restic", "process", "slow"))
    return "compat" if marked or fixtures & PROGRAMS or "tests/compat/" in item.nodeid else "unit"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave a module out of the unit part that is marked as a whole: some take a second to import."""
    if config.getoption("markexpr") != "unit" or collection_path.suffix != ".py":
        return None
    return True if _WHOLE_MODULE.search(collection_path.read_text()) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its part, before -m chooses among them."""
    for item in items:
        item.add_marker(find_part(item))


class _Watch:
    """Lets no process start while a unit test runs."""

    def __init__(self) -> None:
        self._installed = False
        self.started = ""
        self.running = False

    def install(self) -> None:
        """Start to watch; a hook can never be removed."""
        if not self._installed:
            self._installed = True
            sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.running and event in _STARTS:
            if event == "os.posix_spawn" and _PROGRAM in arguments[1]:
                # Whether it would start depends on the tests before; the program can do without.
                raise NotImplementedError("the unit part starts no compiler")
            self.started = f"a unit test starts a process ({event} {arguments[:2]}): mark it with pytest.mark.process"
            pytest.fail(self.started)


_watch = _Watch()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch a unit test together with its fixtures."""
    if item.get_closest_marker("unit"):
        _watch.install()
        _watch.running = True
    try:
        return (yield)
    finally:
        _watch.running = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fail a test that caught the failure, or whose thread did."""
    yield
    started, _watch.started = _watch.started, ""
    if started:
        pytest.fail(started)
