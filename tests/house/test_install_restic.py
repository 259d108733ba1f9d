"""Where tools/install_restic.py looks for the real restic."""

import pytest

from tools.install_restic import InstallError, release_names


def test_a_release_has_its_name_and_testing_is_told_from_unstable_by_the_sources() -> None:
    assert release_names('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_CODENAME=trixie\n') == ["trixie"]
    unstable = 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nVERSION_CODENAME="forky"\n'
    assert release_names(unstable) == ["forky", "testing", "sid", "unstable"]
    with pytest.raises(InstallError, match="does not say"):
        release_names('PRETTY_NAME="Another"\n\n')
