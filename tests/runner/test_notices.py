"""What the runner tells a person, from real processes that fail to a server that receives messages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.profiles.profile import Notify, NotifyEvent, Secret
from pyrestic.runner.notices import Notices
from tests.support.profiles import DAY, HOUR, make_profile, make_task
from tests.support.runner_world import World, fail
from tests.support.scripted import ScriptedServer, answer, scripted

pytestmark = pytest.mark.process
EVENTS: tuple[NotifyEvent, ...] = ("failed", "overdue", "recovered")


class Reached:
    """A world with a server for messages, which `accepts` them or not."""

    def __init__(self, folder: Path, server: ScriptedServer) -> None:
        self.world = World(folder)
        self.server = server
        self.accepts = True
        self.ping: str | Secret = f"http://{server.address}/ping"
        self.metrics = str(folder / "pyrestic.prom")

    def notices(self) -> Notices:
        notify = Notify(
            on=EVENTS,
            desktop=False,
            ping=self.ping,
            ntfy=f"http://{self.server.address}/topic",
            webhook="",
            mail="",
            apprise=(),
            metrics_file=self.metrics,
        )
        return Notices(notify, self.world.store, {}, now=lambda: self.world.now)

    def run(self) -> int:
        home = make_profile("home", make_task("backup", 6 * HOUR), overdue_seconds=DAY)
        return self.world.run(home, notices=self.notices())

    def heard(self) -> list[str]:
        """Return where messages arrived, and forget them."""
        found = [path for _, path, _ in self.server.requests]
        self.server.requests.clear()
        return found


@pytest.fixture
def reached(tmp_path: Path) -> Iterator[Reached]:
    with scripted(lambda _method, _path: answer(200)) as server:
        found = Reached(tmp_path, server)
        server.reply = lambda _method, _path: answer(200 if found.accepts else 500)
        yield found


def test_a_person_is_told_of_the_second_failure_and_of_the_recovery(reached: Reached) -> None:
    world = reached.world
    assert reached.run() == 0
    assert reached.heard() == ["/ping/start", "/ping"]
    world.behaviors["backup"] = fail(1, "no answer")
    for seconds, expected in [
        (6 * HOUR, ["/ping/start"]),
        (600, ["/ping/start", "/ping/fail", "/topic"]),
        (1800, ["/ping/start", "/ping/fail"]),
    ]:
        world.now += seconds
        assert reached.run() == 1
        assert reached.heard() == expected
    world.behaviors.clear()
    world.now += HOUR
    assert reached.run() == 0
    assert reached.heard() == ["/ping/start", "/ping", "/topic"]
    assert world.store.read().profiles["home"].told == {}


def test_a_message_that_does_not_arrive_is_sent_again_and_noted(reached: Reached) -> None:
    world = reached.world
    reached.ping = ""
    world.behaviors["backup"] = fail(1, "no answer")
    reached.run()
    world.now += 600
    reached.accepts = False
    assert reached.run() == 1
    assert [line for line in world.said() if "message by ntfy" in line] != []
    assert world.store.read().profiles["home"].told == {}
    reached.accepts = True
    reached.heard()
    # Even if nothing runs.
    assert reached.run() == 0
    assert reached.heard() == ["/topic"]
    assert reached.run() == 0
    assert reached.heard() == []


def test_what_is_overdue_is_told_once_a_day_while_it_waits(reached: Reached) -> None:
    world = reached.world
    home = make_profile("home", make_task("backup", when={"power": "mains"}), overdue_seconds=DAY)
    world.set_battery("Discharging")
    told = []
    for _ in range(30):
        world.run(home, notices=reached.notices())
        told.append(len([path for path in reached.heard() if path == "/topic"]))
        world.now += 2 * HOUR
    assert [number for number, count in enumerate(told) if count] == [12, 24]


def test_a_secret_that_cannot_be_read_is_noted_and_the_others_are_told(reached: Reached) -> None:
    reached.ping = Secret("file", "/nonexistent")
    assert reached.run() == 3
    assert any("/nonexistent cannot be read" in line for line in reached.world.said())


def test_the_metrics_are_written(reached: Reached) -> None:
    reached.run()
    home = make_profile("home")
    assert reached.notices().write_metrics({"home": home}, reached.world.store.read()) == []
    assert 'profile="home"' in Path(reached.metrics).read_text()
    reached.metrics = "/nonexistent/x.prom"
    (problem,) = reached.notices().write_metrics({"home": home}, reached.world.store.read())
    assert problem.startswith("/nonexistent/x.prom: ")
