"""Where tests write."""

import os
from pathlib import Path

from tests.support.places import make_own_folder


def test_each_checkout_has_a_folder_of_its_own_with_a_short_name(tmp_path: Path) -> None:
    one, other = (make_own_folder(str(tmp_path), Path(name)) for name in ("/a/checkout", "/another/checkout"))
    assert make_own_folder(str(tmp_path), Path("/a/checkout")) == one
    assert sorted(os.listdir(tmp_path)) == sorted(map(os.path.basename, (one, other)))
    assert all(len(os.path.basename(folder)) == 5 for folder in (one, other))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o700}
