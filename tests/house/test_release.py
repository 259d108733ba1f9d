"""tools/release.py: what it refuses."""

from pathlib import Path

import pytest

from tests.support.checkout import Checkout
from tools.release import find_section

pytestmark = pytest.mark.process


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_uncommitted_changes_are_refused(checkout: Checkout) -> None:
    (checkout.folder / "README.md").write_text("changed")
    (checkout.folder / "pyrestic" / "new.py").write_text("")
    done = checkout.release("--unreleased")
    assert done.returncode == 1
    assert "uncommitted changes" in done.stderr
    assert "README.md" in done.stderr
    assert "pyrestic/new.py" in done.stderr
    assert not (checkout.folder / "dist").exists()


def test_a_version_that_the_changelog_does_not_describe_is_refused(checkout: Checkout) -> None:
    checkout.set_version("9.9")
    changelog = checkout.changelog
    text = changelog.read_text()
    changelog.write_text(text.replace("## [Unreleased]\n", "## [Unreleased]\n\n- Something new.\n", 1))
    checkout.commit()
    done = checkout.release()
    assert done.returncode == 1
    assert 'no section "## [9.9] - DATE"' in done.stderr
    assert "still lists changes as unreleased" in done.stderr
    # A heading alone, or one without a date, is no section.
    changelog.write_text(text.replace("## [Unreleased]\n", "## [Unreleased]\n\n## [9.9]\n\n- Something new.\n", 1))
    checkout.commit()
    assert 'no section "## [9.9] - DATE"' in checkout.release().stderr


def test_a_version_between_releases_is_refused(checkout: Checkout) -> None:
    checkout.set_version("9.9.dev0")
    checkout.commit()
    done = checkout.release()
    assert done.returncode == 1
    assert "9.9.dev0 is not the version of a release" in done.stderr


def test_sections_of_the_changelog_end_where_the_next_begins() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n## [1.0] - 2026-01-02\n\n- New.\n\n## [0.9] - 2025-01-02\n\n- Old.\n"
    assert find_section(text, "Unreleased") == "\n"
    assert find_section(text, "1.0") == "\n- New.\n\n"
    assert find_section(text, "0.9") == "\n- Old.\n"
    assert find_section(text, "1") is None
    assert find_section(text, "100") is None
