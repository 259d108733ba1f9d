"""Which key a password finds, and how keys come and go."""

import json
import threading
from collections.abc import Callable

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import (
    AccessError,
    BackendError,
    DamageError,
    HashMismatchError,
    NotFoundError,
    UnsupportedError,
    UsageError,
    WrongPasswordError,
)
from pyrestic.format import keyfile
from pyrestic.format.crypto import MasterKey
from pyrestic.format.keyfile import ScryptParams
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, hash_id
from pyrestic.report import NullReporter
from pyrestic.repository import keys
from pyrestic.repository.keys import OpenedKey, add_key, calibrate, find_key, list_keys, remove_key
from tests.support.backends import FaultyBackend, RecordingBackend

CHEAP = ScryptParams(16, 1, 1)
TIME = "2024-03-04T05:06:07.089+01:00"
MASTER = MasterKey.random()


class Notes(NullReporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, message: str, level: int = 1) -> None:
        self.notes.append(message)


@pytest.fixture
def backend() -> RecordingBackend:
    return RecordingBackend(MemoryBackend())


def add(backend: RecordingBackend | FaultyBackend, password: str, master: MasterKey = MASTER) -> OpenedKey:
    return add_key(backend, master, password, hostname="host", username="user", created=TIME, params=CHEAP)


def handle_of(identifier: ID) -> Handle:
    return Handle(FileType.KEY, identifier.hex())


def change(backend: RecordingBackend, identifier: ID, **fields: object) -> None:
    """Replace fields of a key file, which keeps its name."""
    document = json.loads(backend.load(handle_of(identifier))) | fields
    backend.save(handle_of(identifier), json.dumps(document).encode())


def test_the_password_finds_its_key(backend: RecordingBackend) -> None:
    added = {password: add(backend, password).id for password in ("one", "two", "")}
    for password, identifier in added.items():
        found = find_key(backend, password)
        assert found.id == identifier
        assert found.master == MASTER
        assert (found.keyfile.hostname, found.keyfile.username, found.keyfile.created) == ("host", "user", TIME)


def test_a_wrong_password_finds_none(backend: RecordingBackend) -> None:
    add(backend, "right")
    with pytest.raises(WrongPasswordError, match="wrong password or no key found"):
        find_key(backend, "wrong")


def test_a_repository_without_keys_has_no_password(backend: RecordingBackend) -> None:
    with pytest.raises(WrongPasswordError):
        find_key(backend, "any")


def test_a_secret_is_in_no_repr(backend: RecordingBackend) -> None:
    opened = add(backend, "password-of-mine")
    for text in (repr(opened), str(opened)):
        assert "password-of-mine" not in text
        assert repr(MASTER.encrypt) not in text
        assert MASTER.encrypt.hex() not in text


@pytest.mark.parametrize("digits", [4, 8, 64])
def test_the_hinted_key_is_tried_first(backend: RecordingBackend, digits: int) -> None:
    keys = [add(backend, f"password {number}") for number in range(10)]
    backend.calls.clear()
    assert find_key(backend, "password 7", hint=keys[7].id.hex()[:digits]).id == keys[7].id
    assert [call.name for call in backend.calls if call.method == "load"] == [keys[7].id.hex()]


@pytest.mark.parametrize("hint", ["ffffffffffff", "not hex", ""])
def test_a_hint_that_leads_nowhere_changes_nothing(backend: RecordingBackend, hint: str) -> None:
    key = add(backend, "password")
    assert find_key(backend, "password", hint=hint).id == key.id


def test_a_hint_to_a_key_of_another_password_changes_nothing(backend: RecordingBackend) -> None:
    other, key = add(backend, "other"), add(backend, "password")
    assert find_key(backend, "password", hint=other.id.hex()).id == key.id


def test_no_more_than_the_allowed_keys_are_tried(backend: RecordingBackend) -> None:
    keys = [add(backend, f"password {number}") for number in range(6)]
    backend.calls.clear()
    order = [info.name for info in backend.list(FileType.KEY)]
    last = next(number for number, key in enumerate(keys) if key.id.hex() == order[-1])
    with pytest.raises(WrongPasswordError, match="first 3 of 6") as caught:
        find_key(backend, f"password {last}", max_keys=3)
    assert "--key-hint" in caught.value.hint
    assert backend.count("load") == 3
    assert find_key(backend, f"password {last}", max_keys=3, hint=order[-1]).id == keys[last].id
    assert find_key(backend, f"password {last}", max_keys=6).id == keys[last].id


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json"])
def test_damaged_key_files_are_skipped_and_noted(backend: RecordingBackend, damage: bytes) -> None:
    broken, key = add(backend, "broken"), add(backend, "password")
    backend.save(handle_of(broken.id), damage)
    backend.save(Handle(FileType.KEY, hash_id(b"no key file").hex()), b"no key file")
    notes = Notes()
    assert find_key(backend, "password", hint=broken.id.hex(), report=notes).id == key.id
    assert broken.id.hex() in notes.notes[0]
    assert "does not match its name" in notes.notes[0]


def test_a_wrong_password_says_that_some_keys_could_not_be_used(backend: RecordingBackend) -> None:
    broken = add(backend, "broken")
    add(backend, "password")
    backend.save(handle_of(broken.id), b"damaged")
    with pytest.raises(WrongPasswordError) as caught:
        find_key(backend, "broken")
    assert broken.id.hex() in caught.value.hint


def test_a_key_whose_data_are_whole_opens_though_its_name_does_not_fit(backend: RecordingBackend) -> None:
    key = add(backend, "password")
    change(backend, key.id, hostname="hosu")
    notes = Notes()
    found = find_key(backend, "password", report=notes)
    assert found.master == MASTER
    assert any("replace it" in note for note in notes.notes)


def test_if_the_only_key_is_damaged_the_password_is_not_blamed(backend: RecordingBackend) -> None:
    key = add(backend, "password")
    change(backend, key.id, data="AAAA")
    with pytest.raises(HashMismatchError, match=key.id.hex()):
        find_key(backend, "password")


def test_an_unknown_key_derivation_is_unsupported(backend: RecordingBackend) -> None:
    data = json.dumps(
        json.loads(keyfile.create("x", MASTER, hostname="", username="", created=TIME, params=CHEAP))
        | {"kdf": "argon2"}
    ).encode()
    backend.save(Handle(FileType.KEY, hash_id(data).hex()), data)
    with pytest.raises(UnsupportedError, match="argon2"):
        find_key(backend, "x")


def test_a_key_that_cannot_be_loaded_is_skipped(backend: RecordingBackend) -> None:
    add(backend, "one")
    faulty = FaultyBackend(backend)
    add(faulty, "two")
    order = [info.name for info in backend.list(FileType.KEY)]
    passwords = {find_key(backend, password).id.hex(): password for password in ("one", "two")}
    faulty.fail("load", lambda: AccessError("no permission"))
    assert find_key(faulty, passwords[order[1]]).id.hex() == order[1]
    faulty.fail("load", lambda: AccessError("no permission"), times=2)
    with pytest.raises(AccessError):
        find_key(faulty, passwords[order[1]])


def test_a_key_read_wrong_once_is_read_again() -> None:
    class Flipping(RecordingBackend):
        flips = 1

        def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
            data = super().load(handle, offset, length)
            self.flips -= 1
            return data[:-1] if self.flips >= 0 else data

    backend = Flipping(MemoryBackend())
    backend.flips = 0
    add(backend, "password")
    backend.flips = 1
    notes = Notes()
    assert find_key(backend, "password", report=notes).master == MASTER
    assert notes.notes == []


def test_a_new_key_is_read_back(backend: RecordingBackend) -> None:
    key = add(backend, "password")
    assert [call.method for call in backend.calls] == ["save", "load"]
    assert hash_id(backend.load(handle_of(key.id))) == key.id


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: NotFoundError("gone"), NotFoundError),
        (lambda: BackendError("no"), BackendError),
        (KeyboardInterrupt, KeyboardInterrupt),
    ],
)
def test_a_new_key_that_does_not_open_is_removed(
    backend: RecordingBackend, make: Callable[[], BaseException], expected: type[BaseException]
) -> None:
    faulty = FaultyBackend(backend)
    faulty.fail("load", make)
    with pytest.raises(expected):
        add(faulty, "password")
    assert list(backend.list(FileType.KEY)) == []


def test_a_new_key_that_is_stored_wrong_is_removed() -> None:
    class Cutting(RecordingBackend):
        def save(self, handle: Handle, data: object) -> None:
            super().save(handle, bytes(data)[:-1])  # type: ignore[call-overload]

    backend = Cutting(MemoryBackend())
    with pytest.raises(DamageError):
        add(backend, "password")
    assert list(backend.list(FileType.KEY)) == []


def test_a_key_is_removed_unless_it_is_the_current_one(backend: RecordingBackend) -> None:
    current, other = add(backend, "current"), add(backend, "other")
    with pytest.raises(UsageError):
        remove_key(backend, current.id, current=current.id)
    remove_key(backend, other.id, current=current.id)
    assert [info.name for info in backend.list(FileType.KEY)] == [current.id.hex()]
    with pytest.raises(NotFoundError):
        remove_key(backend, other.id, current=current.id)


def test_keys_are_listed_in_order_with_the_current_one_marked(backend: RecordingBackend) -> None:
    keys = [add(backend, str(number)) for number in range(5)]
    listed = list_keys(backend, current=keys[2].id)
    assert [info.id for info in listed] == sorted(key.id for key in keys)
    assert [info.id for info in listed if info.current] == [keys[2].id]
    assert {info.keyfile.created for info in listed} == {TIME}


def test_a_key_that_cannot_be_listed_is_an_error_of_its_own(backend: RecordingBackend) -> None:
    broken, whole = add(backend, "broken"), add(backend, "whole")
    backend.save(handle_of(broken.id), b"damaged")
    report = NullReporter()
    assert [info.id for info in list_keys(backend, report=report)] == [whole.id]
    assert [item for item, _ in report.errors] == [f"key {broken.id.hex()}"]


def hostile(backend: RecordingBackend, params: ScryptParams, number: int) -> ID:
    """Store a key file of another that asks for this much, without doing the work."""
    document = json.loads(keyfile.create("x", MASTER, hostname="h", username="u", created=TIME, params=CHEAP))
    document |= {"N": params.n, "r": params.r, "p": params.p, "username": f"user {number}"}
    data = json.dumps(document).encode()
    backend.save(handle_of(hash_id(data)), data)
    return hash_id(data)


COSTLY = [ScryptParams(1 << 20, 7, 60), ScryptParams(2, 1, 1 << 22), ScryptParams(1 << 14, 8, 4000)]


@pytest.mark.parametrize("params", COSTLY)
def test_key_files_that_cost_too_much_do_not_keep_the_owner_out(
    backend: RecordingBackend, params: ScryptParams
) -> None:
    keyfile.parse(backend.load(handle_of(hostile(backend, params, -1))))
    for number in range(40):
        hostile(backend, params, number)
    added = add(backend, "password")
    # Each of the others would take minutes.
    assert find_key(backend, "password").id == added.id


def test_all_key_files_share_one_budget(backend: RecordingBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "BUDGET_WORK_BYTES", 3 * CHEAP.work_bytes)
    order = [add(backend, f"password {number}") for number in range(3)]
    hostile(backend, ScryptParams(32, 1, 1), 0)
    assert find_key(backend, "password 2").id == order[2].id
    with pytest.raises(WrongPasswordError, match="its key is one of 1 key files that cost too much to try") as caught:
        find_key(backend, "x")
    assert "--key-hint" in caught.value.hint
    with pytest.raises(WrongPasswordError, match="cost too much"):
        find_key(backend, "y", hint=order[0].id.hex())


def test_a_single_key_may_cost_more_than_the_budget(backend: RecordingBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "BUDGET_WORK_BYTES", 1)
    added = add(backend, "password")
    assert find_key(backend, "password").id == added.id
    with pytest.raises(WrongPasswordError, match="wrong password or no key found"):
        find_key(backend, "other")


def test_what_takes_long_is_told(backend: RecordingBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "PATIENCE_SECONDS", 0.0)
    added = add_key(
        backend, MASTER, "slow", hostname="h", username="u", created=TIME, params=ScryptParams(1 << 14, 8, 4)
    )
    notes = Notes()
    assert find_key(backend, "slow", report=notes).id == added.id
    assert notes.notes in (
        [],
        [
            f"still deriving keys from the password: 0 key files tried, key {added.id.hex()[:8]} asks for scrypt with "
            "N=16384, r=8, p=4"
        ],
    )


def test_a_search_that_was_stopped_begins_with_no_key(backend: RecordingBackend) -> None:
    add(backend, "password")
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(WrongPasswordError):
        find_key(backend, "password", stopped=stopped)


def test_calibration_stays_within_memory_and_above_the_least() -> None:
    params = calibrate(target_ms=20)
    assert params.n in (1 << 14, 1 << 15)
    assert params.r == 8
    assert params.p >= 1
    assert params.memory_bytes <= 60_000_000
    data = keyfile.create("x", MASTER, hostname="h", username="u", created=TIME, params=params)
    assert keyfile.parse(data).params == params


def test_calibration_takes_as_much_memory_as_it_may() -> None:
    assert calibrate(target_ms=60_000, memory_mb=60).n == 1 << 15
    assert calibrate(target_ms=60_000, memory_mb=20).n == 1 << 14
