"""A bus for the tests of a module."""

from collections.abc import Iterator

import pytest

from tests.support.private_bus import PrivateBus, running_bus


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBus]:
    with running_bus(tmp_path_factory.mktemp("bus")) as running:
        yield running
