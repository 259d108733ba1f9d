"""Secrets in the real key ring of GNOME."""

from pathlib import Path

import pytest

from pyrestic.desktop.keyring import delete_secret, read_secret, store_secret
from pyrestic.errors import LockedKeyringError, NoServiceError
from tests.support.private_bus import PrivateBus, running_bus

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def keyring(bus: PrivateBus) -> str:
    bus.start_keyring()
    return bus.address


def test_a_secret_is_stored_read_replaced_and_deleted(keyring: str) -> None:
    assert read_secret(keyring, "home", "password") is None
    store_secret(keyring, "home", "password", "naïve 🔑")
    assert read_secret(keyring, "home", "password") == "naïve 🔑"
    store_secret(keyring, "home", "password", "another one")
    assert read_secret(keyring, "home", "password") == "another one"
    assert delete_secret(keyring, "home", "password")
    assert not delete_secret(keyring, "home", "password")
    assert read_secret(keyring, "home", "password") is None


def test_profiles_and_kinds_have_secrets_of_their_own(keyring: str) -> None:
    secrets = {("one", "password"): "1", ("two", "password"): "2", ("one", "B2_ACCOUNT_KEY"): "3"}
    for (profile, kind), secret in secrets.items():
        store_secret(keyring, profile, kind, secret)
    assert {key: read_secret(keyring, *key) for key in secrets} == secrets
    delete_secret(keyring, "one", "password")
    assert read_secret(keyring, "one", "B2_ACCOUNT_KEY") == "3"
    assert read_secret(keyring, "two", "password") == "2"


def test_a_locked_key_ring_says_so_and_asks_nobody(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        bus.start_keyring()
        store_secret(bus.address, "home", "password", "secret")
        bus.lock_keyring()
        with pytest.raises(LockedKeyringError, match="locked"):
            read_secret(bus.address, "home", "password")
        with pytest.raises(LockedKeyringError, match="locked"):
            read_secret(bus.address, "unheard-of", "password")
        with pytest.raises(LockedKeyringError, match="locked"):
            store_secret(bus.address, "home", "password", "other")
        with pytest.raises(LockedKeyringError, match="locked"):
            delete_secret(bus.address, "home", "password")


def test_a_bus_without_a_key_ring_is_not_a_locked_one(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        for use in (read_secret, delete_secret):
            with pytest.raises(NoServiceError):
                use(bus.address, "home", "password")
        with pytest.raises(NoServiceError):
            store_secret(bus.address, "home", "password", "secret")
