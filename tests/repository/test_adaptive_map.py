"""Doing the same with many files: in order, and in threads only where the place is slow."""

import threading

import pytest

from pyrestic.errors import BackendError
from pyrestic.repository.adaptive_map import map_files


class Place:
    """A place that takes `seconds` for each file, on a clock of its own; notes who did what."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.by_caller: list[int] = []
        self.by_others: list[int] = []
        self._caller = threading.get_ident()
        self._change = threading.Lock()

    def load(self, number: int) -> int:
        with self._change:
            self.now += self.seconds
            (self.by_caller if threading.get_ident() == self._caller else self.by_others).append(number)
        if number < 0:
            raise BackendError("it cannot be read")
        return number * number

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize("seconds", [0.00001, 0.01])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_every_result_comes_once_and_in_order(seconds: float, count: int) -> None:
    place = Place(seconds)
    assert list(map_files(place.load, range(count), 3, place.clock)) == [number * number for number in range(count)]
    assert sorted(place.by_caller + place.by_others) == list(range(count))


def test_where_a_file_takes_long_threads_do_the_work() -> None:
    place = Place(0.01)
    list(map_files(place.load, range(100), 4, place.clock))
    assert place.by_caller == []


def test_where_it_takes_no_time_the_caller_does_all_but_the_first() -> None:
    place = Place(0.00001)
    list(map_files(place.load, range(100), 4, place.clock))
    assert len(place.by_others) == 4


def test_a_place_that_becomes_slow_gets_threads_again() -> None:
    place = Place(0.00001)
    results = map_files(place.load, range(200), 2, place.clock)
    assert [next(results) for _ in range(50)] == [number * number for number in range(50)]
    place.seconds = 0.1
    assert len(list(results)) == 150
    assert set(range(100, 200)) <= set(place.by_others)


@pytest.mark.parametrize("seconds", [0.00001, 0.01])
def test_after_an_error_nothing_more_is_begun(seconds: float) -> None:
    place = Place(seconds)
    with pytest.raises(BackendError):
        list(map_files(place.load, [1, 2, -1, *range(3, 1000)], 2, place.clock))
    assert len(place.by_caller + place.by_others) < 100
