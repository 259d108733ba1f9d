"""The line in a crontab: all other lines stay as they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.schedule.crontab import find_own, make_line, with_line, without_line

LINE = make_line(["/usr/bin/pyrestic", "run", "--due"], {})
OTHERS = st.text(st.characters(exclude_characters="\0\r"), max_size=40).filter(lambda text: not find_own(text))


def test_the_line() -> None:
    assert LINE == "*/10 * * * * /usr/bin/pyrestic run --due >/dev/null # pyrestic"
    words = ["/a b/50%/pyrestic", "run", "--due", "--config", "/x"]
    line = make_line(words, {"XDG_STATE_HOME": "/s"})
    assert (
        line == r"*/10 * * * * env XDG_STATE_HOME=/s '/a b/50\%/pyrestic' run --due --config /x >/dev/null # pyrestic"
    )
    assert find_own(line) == [line]
    with pytest.raises(UsageError, match="line break"):
        make_line(["/a\nb", "run", "--due"], {})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# " + LINE,
        "0 * * * * pyrestic backup ~ # pyrestic",
        "0 * * * * pyrestic run --due",
        "0 * * * * echo pyrestic",
    ],
)
def test_lines_that_a_person_wrote_are_not_ours(line: str) -> None:
    assert find_own(line) == []
    assert without_line(f"{line}\n") == f"{line}\n"


def test_a_line_that_a_person_changed_stays_and_suffices() -> None:
    changed = LINE.replace("*/10", "*/30")
    assert find_own(changed) == [changed]
    assert with_line(f"{changed}\n", LINE) == f"{changed}\n"
    assert without_line(f"{changed}\n{LINE}\n") == f"{changed}\n"


@given(OTHERS, OTHERS)
def test_other_lines_stay_as_they_are(before: str, after: str) -> None:
    installed = with_line(before, LINE)
    ended = before if not before or before.endswith("\n") else f"{before}\n"
    assert installed == f"{ended}{LINE}\n"
    assert with_line(installed, LINE) == installed
    assert without_line(installed) == ended
    old = LINE.replace("/usr/bin", "/old")
    assert with_line(f"{ended}{old}\n{old}\n{after}", LINE) == f"{ended}{LINE}\n{after}"
