"""What backups leave out and restores give back."""

import os
from pathlib import Path

import pytest

from pyrestic.errors import UsageError
from pyrestic.localfs import select
from pyrestic.localfs.select import BackupSelector, Patterns


def test_without_rules_nothing_needs_asking() -> None:
    assert not BackupSelector().looks_at_paths
    assert not BackupSelector().looks_at_status
    assert BackupSelector(by_status=[select.reject_larger_than(1)]).looks_at_status
    assert BackupSelector(select.reject_patterns(Patterns(["x"]))).looks_at_paths


def test_relative_paths_are_judged_as_absolute_ones() -> None:
    rules = select.reject_patterns(Patterns(["/home/me/sub/secret", "/home/up"]))
    selector = BackupSelector(rules, working_directory=b"/home/me")
    assert selector.by_path(b"sub")
    assert not selector.by_path(b"sub/secret")
    assert not selector.by_path(b"../up")
    assert not selector.by_path(b"../up/x")
    assert selector.by_path(b"../other")
    assert BackupSelector(rules, working_directory=b"/").by_path(b"sub/secret")


def test_patterns_of_both_kinds_reject() -> None:
    selector = BackupSelector(select.reject_patterns(Patterns(["*.o"], ["*.JPG"])))
    assert not selector.by_path(b"/a/x.o")
    assert selector.by_path(b"/a/x.O")
    assert not selector.by_path(b"/a/x.jpg")


def test_malformed_patterns_are_named_with_their_option() -> None:
    with pytest.raises(UsageError, match=r"--exclude: invalid pattern\(s\) provided:\n\[a\n\[b"):
        select.reject_patterns(Patterns(["[a", "ok", "[b"]))
    with pytest.raises(UsageError, match="--iinclude: invalid"):
        select.restore_selector(Patterns([], ["["], "include"), Patterns())


def test_our_own_cache_is_rejected_with_all_below_it() -> None:
    (reject,) = select.reject_folders(["", "/home/me/.cache/restic/"])
    assert reject(b"/home/me/.cache/restic")
    assert reject(b"/home/me/.cache/restic/ab/data")
    assert not reject(b"/home/me/.cache/restic-other")
    assert not reject(b"/home/me/.cache")


def test_only_files_can_be_too_large(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    reject = select.reject_larger_than(99)
    assert reject(bytes(path), path.stat())
    assert not select.reject_larger_than(100)(bytes(path), path.stat())
    assert not select.reject_larger_than(0)(bytes(tmp_path), tmp_path.stat())


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    (tmp_path / "cache" / "sub").mkdir(parents=True)
    (tmp_path / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n# more")
    (tmp_path / "cache" / "data").touch()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "CACHEDIR.TAG").write_text("Signature: something else entirely, long enough")
    (tmp_path / "plain" / "data").touch()
    return tmp_path


def rejects(rule: select.RejectStatus, path: Path) -> bool:
    return rule(bytes(path), path.lstat())


def test_a_marked_folder_keeps_only_the_marker(marked: Path) -> None:
    warnings: list[str] = []
    rule = select.reject_if_present(select.CACHE_TAG, warnings.append)
    assert rejects(rule, marked / "cache" / "data")
    assert rejects(rule, marked / "cache" / "sub")
    assert not rejects(rule, marked / "cache" / "CACHEDIR.TAG")
    assert not rejects(rule, marked / "cache")
    assert not warnings


def test_a_marker_that_begins_otherwise_counts_for_nothing_but_a_warning(marked: Path) -> None:
    warnings: list[str] = []
    rule = select.reject_if_present(select.CACHE_TAG, warnings.append)
    assert not rejects(rule, marked / "plain" / "data")
    assert not rejects(rule, marked / "plain" / "CACHEDIR.TAG")
    assert len(warnings) == 1
    assert "plain/CACHEDIR.TAG" in warnings[0]


def test_without_header_the_name_is_enough(marked: Path) -> None:
    rule = select.reject_if_present("CACHEDIR.TAG", pytest.fail)
    assert rejects(rule, marked / "plain" / "data")


def test_a_pipe_as_marker_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "TAG")
    (tmp_path / "data").touch()
    warnings: list[str] = []
    assert not rejects(select.reject_if_present("TAG:x", warnings.append), tmp_path / "data")
    assert warnings


@pytest.mark.parametrize("marker", ["", ":header"])
def test_a_marker_without_name_is_refused(marker: str) -> None:
    with pytest.raises(UsageError):
        select.reject_if_present(marker, pytest.fail)


class Devices:
    """Stat results with made-up device numbers: mounting needs rights that tests do not have."""

    def __init__(self, devices: dict[bytes, int], folders: set[bytes]) -> None:
        self.devices = devices
        self.folders = folders

    def status(self, path: bytes) -> os.stat_result:
        if path not in self.devices:
            raise FileNotFoundError(2, "No such file or directory")
        mode = 0o40755 if path in self.folders else 0o100644
        return os.stat_result((mode, 1, self.devices[path], 1, 0, 0, 0, 0, 0, 0))


def test_other_file_systems_are_left_out_but_for_the_mount_point(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Devices(
        {b"/s": 1, b"/s/f": 1, b"/s/mnt": 2, b"/s/mnt/f": 2, b"/s/mnt/d": 2, b"/s/mnt/in": 1, b"/o": 3, b"/o/f": 3},
        {b"/s", b"/s/mnt", b"/s/mnt/d", b"/o"},
    )
    monkeypatch.setattr(os, "lstat", disk.status)
    rule = select.reject_other_devices([b"/s", b"o"], b"/")
    kept = [path for path in disk.devices if not rule(path, disk.status(path))]
    assert kept == [b"/s", b"/s/f", b"/s/mnt", b"/s/mnt/in", b"/o", b"/o/f"]


def test_a_missing_source_cannot_tell_its_file_system(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        select.reject_other_devices([bytes(tmp_path / "missing")])


def test_the_real_file_system_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    rule = select.reject_other_devices([bytes(tmp_path)])
    assert not rejects(rule, tmp_path / "file")


def test_restore_takes_everything_without_patterns() -> None:
    assert select.restore_selector(Patterns(), Patterns()) is None


def test_excluding_keeps_out_of_excluded_folders() -> None:
    chosen = select.restore_selector(Patterns(), Patterns(["*.o"], ["TMP"]))
    assert chosen is not None
    assert chosen(b"/a", True) == (True, True)
    assert chosen(b"/a/x.o", False) == (False, False)
    assert chosen(b"/a/tmp", True) == (False, False)
    assert chosen(b"/a/y", False) == (True, False)


def test_including_goes_down_where_something_may_be() -> None:
    chosen = select.restore_selector(Patterns(["/a/b"], ["/C/*"]), Patterns())
    assert chosen is not None
    assert chosen(b"/a", True) == (False, True)
    assert chosen(b"/a/b", True) == (True, True)
    assert chosen(b"/c", True) == (False, True)
    assert chosen(b"/c/x", False) == (True, False)
    assert chosen(b"/d", True) == (False, False)


def test_including_and_excluding_exclude_each_other() -> None:
    with pytest.raises(UsageError):
        select.restore_selector(Patterns(["a"]), Patterns(["b"]))
    with pytest.raises(UsageError):
        select.attribute_selector(["a"], ["b"])


def test_attributes_are_selected_by_name() -> None:
    assert select.attribute_selector([], []) is None
    included = select.attribute_selector(["user.*"], [])
    excluded = select.attribute_selector([], ["security.*"])
    assert included is not None
    assert excluded is not None
    assert [included("user.a"), included("security.b")] == [True, False]
    assert [excluded("user.a"), excluded("security.b")] == [True, False]
    with pytest.raises(UsageError, match="--include-xattr"):
        select.attribute_selector(["["], [])
