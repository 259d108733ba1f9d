"""Handles and their paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.layout import DEFAULT_LAYOUT, REST_LAYOUT, Layout
from pyrestic.errors import FormatError
from pyrestic.handle import FileType, Handle

NAME = "ab12" + "0" * 60
handles = st.one_of(
    st.just(Handle(FileType.CONFIG, "")),
    st.builds(
        Handle,
        st.sampled_from([file_type for file_type in FileType if file_type is not FileType.CONFIG]),
        st.binary(min_size=32, max_size=32).map(bytes.hex),
    ),
)


@pytest.mark.parametrize(
    ("layout", "file_type", "path"),
    [
        (DEFAULT_LAYOUT, FileType.PACK, f"data/ab/{NAME}"),
        (REST_LAYOUT, FileType.PACK, f"data/{NAME}"),
        (DEFAULT_LAYOUT, FileType.SNAPSHOT, f"snapshots/{NAME}"),
        (DEFAULT_LAYOUT, FileType.INDEX, f"index/{NAME}"),
        (DEFAULT_LAYOUT, FileType.LOCK, f"locks/{NAME}"),
        (REST_LAYOUT, FileType.KEY, f"keys/{NAME}"),
    ],
)
def test_paths_are_those_of_restic(layout: Layout, file_type: FileType, path: str) -> None:
    assert layout.path(Handle(file_type, NAME)) == path


@given(handles, st.sampled_from([DEFAULT_LAYOUT, REST_LAYOUT]))
def test_a_path_leads_back_to_its_handle(handle: Handle, layout: Layout) -> None:
    assert layout.find_handle(layout.path(handle)) == handle


@given(st.text(alphabet="abcdef0123456789/datkeysin.config-tmp", max_size=90))
def test_any_path_is_that_of_a_handle_or_foreign(path: str) -> None:
    handle = DEFAULT_LAYOUT.find_handle(path)
    assert handle is None or DEFAULT_LAYOUT.path(handle) == path


@pytest.mark.parametrize(
    "path", [f"data/{NAME}", f"data/ac/{NAME}", f"keys/{NAME}-tmp-1", f"keys/ab/{NAME}", "config/x", NAME, ""]
)
def test_foreign_paths_have_no_handle(path: str) -> None:
    assert DEFAULT_LAYOUT.find_handle(path) is None


def test_a_config_has_no_name() -> None:
    with pytest.raises(FormatError):
        DEFAULT_LAYOUT.path(Handle(FileType.CONFIG, NAME))


def test_a_new_repository_has_261_folders() -> None:
    assert len(DEFAULT_LAYOUT.folders()) == 5 + 256
    assert sorted(REST_LAYOUT.folders()) == ["data", "index", "keys", "locks", "snapshots"]
