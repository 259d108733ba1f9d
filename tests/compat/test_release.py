"""tools/release.py builds what a release consists of and tests it in empty environments."""

import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.checkout import Checkout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_release_is_built_and_tested(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    checkout.set_version("9.9")
    changelog = checkout.changelog
    changelog.write_text(
        changelog.read_text().replace("## [Unreleased]", "## [Unreleased]\n\n## [9.9] - 2099-01-02", 1)
    )
    checkout.commit()
    done = checkout.release("--output", str(tmp_path / "made"))
    assert done.returncode == 0, done.stdout + done.stderr
    sdist, wheel = tmp_path / "made" / "pyrestic-9.9.tar.gz", tmp_path / "made" / "pyrestic-9.9-py3-none-any.whl"
    assert done.stdout.splitlines()[-2:] == [str(sdist), str(wheel)]
    with tarfile.open(sdist) as archive:
        names = set(archive.getnames())
    for name in ("tests/house/test_release.py", "docs/safety.md", "tools/smoke.py", "CONTRIBUTING.md"):
        assert f"pyrestic-9.9/{name}" in names
    with zipfile.ZipFile(wheel) as package:
        data = [name.partition(".data/data/")[2] for name in package.namelist() if ".data/data/" in name]
        metadata = package.read("pyrestic-9.9.dist-info/METADATA").decode()
    assert "share/man/man1/pyrestic-backup.1" in data
    assert "share/zsh/site-functions/_pyrestic" in data
    assert re.search(r"!\[.*\]\(https://.*/raw/v9\.9/docs/serve/versions\.png\)", metadata)
    assert "](docs/" not in metadata
