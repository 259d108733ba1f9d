"""What was never backed up, misspelt or ambiguous: restic's message, and then the nearest thing there is."""

from pathlib import Path

import pytest

from tests.support.cli import PASSWORD, Caller, Outcome


@pytest.fixture
def filled(made: Caller) -> Caller:
    """A repository with a snapshot of one host."""
    source = made.folder / "source"
    (source / "photos").mkdir(parents=True)
    (source / "photos" / "summer.jpg").write_text("x")
    (source / "letter.txt").write_text("y")
    made.cwd = source
    assert made("backup", "-q", "--host", "laptop", "--tag", "weekly", ".").code == 0
    return made


def lines(outcome: Outcome) -> list[str]:
    """Return the lines on standard error."""
    return outcome.err.splitlines()


def test_a_path_that_is_not_in_the_snapshot(filled: Caller, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    outcome = filled("restore", "latest:/photo", "--target", target)
    assert (outcome.code, lines(outcome)) == (1, ["Fatal: path photo: not found", "Did you mean /photos?"])
    outcome = filled("restore", "latest:/photos/sumer.jpg", "--target", target)
    assert lines(outcome)[1:] == ["Did you mean /photos/summer.jpg?"]
    outcome = filled("dump", "latest", "/leter.txt")
    assert (outcome.code, lines(outcome)[1:]) == (1, ["Did you mean /letter.txt?"])
    outcome = filled("ls", "latest:/nothing")
    assert lines(outcome)[1:] == ["The paths there are: /letter.txt, /photos."]


def test_a_folder_that_ls_does_not_find_changes_no_exit_code(filled: Caller) -> None:
    outcome = filled("ls", "-q", "latest", "/photo", "/letter.txt")
    assert (outcome.code, outcome.out) == (0, "/letter.txt\n")
    assert lines(outcome) == ["/photo is not in the snapshot", "Did you mean /photos?"]


@pytest.mark.parametrize("flag", ["--include", "--iinclude"])
def test_patterns_that_match_nothing(filled: Caller, tmp_path: Path, flag: str) -> None:
    outcome = filled("restore", "latest", "--target", str(tmp_path / "target"), flag, "/old/sumer*.jpg")
    assert outcome.code == 0
    assert lines(outcome) == [
        "nothing in the snapshot matches the patterns of --include",
        "Did you mean /photos/summer.jpg?",
    ]
    outcome = filled("restore", "latest", "--target", str(tmp_path / "target"), flag, "*.jpg")
    assert (outcome.code, outcome.err) == (0, "")


def test_an_id_that_does_not_exist_or_is_ambiguous(filled: Caller, tmp_path: Path) -> None:
    identifier = filled("snapshots", "--json").json[0]["id"]
    wrong = identifier[:4] + ("0" if identifier[4] != "0" else "1") + identifier[5:8]
    outcome = filled("restore", wrong, "--target", str(tmp_path / "target"))
    assert outcome.code == 1
    assert lines(outcome) == [
        f'Fatal: no matching ID found for prefix "{wrong}"',
        f"Did you mean {identifier[:8]}?",
    ]
    for _ in range(16):
        assert filled("backup", "-q", "--force", ".").code == 0
    known = [one["id"] for one in filled("snapshots", "--json").json]
    # Of 17 IDs two begin alike.
    digit = next(digit for digit in "0123456789abcdef" if sum(one.startswith(digit) for one in known) > 1)
    there = sorted(one[:8] for one in known if one.startswith(digit))
    outcome = filled("ls", digit)
    more = ", …" if len(there) > 5 else ""
    assert lines(outcome) == [
        f'Fatal: multiple IDs with prefix "{digit}" found',
        f"Give more digits: {', '.join(there[:5])}{more}",
    ]


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (("--host", "laptp"), "Did you mean laptop?"),
        (("--host", "zz"), "The hosts there are: laptop."),
        (("--tag", "weakly"), "Did you mean weekly?"),
    ],
)
def test_a_filter_that_matches_nothing(filled: Caller, flags: tuple[str, ...], hint: str) -> None:
    outcome = filled("snapshots", *flags)
    assert (outcome.code, lines(outcome)) == (0, [f"no snapshot matches the filter. {hint}"])
    outcome = filled("ls", "latest", *flags)
    assert outcome.code == 1
    assert lines(outcome)[1:] == [hint]


def test_a_path_that_was_never_backed_up(filled: Caller, tmp_path: Path) -> None:
    outcome = filled("history", "/leter.txt")
    assert lines(outcome) == ["Fatal: no snapshot contains /leter.txt", "Did you mean /letter.txt?"]
    outcome = filled("restore", "--all-versions", "/leter.txt", "--target", str(tmp_path / "target"))
    assert lines(outcome)[1:] == ["Did you mean /letter.txt?"]


def test_a_source_that_does_not_exist(filled: Caller) -> None:
    outcome = filled("backup", "-q", "phtos", "letter.txt")
    assert outcome.code == 3
    assert lines(outcome)[:2] == ["phtos does not exist, skipping", "Did you mean photos?"]


@pytest.mark.parametrize(
    ("words", "group", "hint"),
    [
        (["key", "lsit"], "key", "Did you mean list?"),
        (["key", "--json", "lsit"], "key", "Did you mean list?"),
        (["repair", "idnex"], "repair", "Did you mean index?"),
        (["repair", "x"], "repair", "The commands there are: index, packs, snapshots."),
        (["b2", "docotr", "-q"], "b2", "Did you mean doctor?"),
    ],
)
def test_a_command_of_a_group(filled: Caller, words: list[str], group: str, hint: str) -> None:
    outcome = filled(*words)
    name = next(word for word in words[1:] if not word.startswith("-"))
    assert lines(outcome) == [f'unknown command "{name}" for "pyrestic {group}"', hint]
    shown = filled(group)
    assert (outcome.code, outcome.out) == (shown.code, shown.out) == (0, filled(group, "help").out)
    assert (shown.err, filled(group, "help").err) == ("", "")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("b2.conections", "Did you mean b2.connections?"),
        ("B2.asof", "Did you mean b2.as-of?"),
        ("rest.x", "The options there are: rest.connections, rest.deadline."),
        ("zz", ""),
    ],
)
def test_an_option_of_a_backend_that_is_not_in_use(filled: Caller, name: str, hint: str) -> None:
    outcome = filled("snapshots", "-q", "-o", f"{name}=5")
    assert (outcome.code, lines(outcome)) == (0, [f"option {name.lower()} is not known. {hint}".rstrip()])
    assert outcome.out == filled("snapshots", "-q").out


def test_an_option_of_a_misspelt_backend(filled: Caller) -> None:
    outcome = filled("snapshots", "-q", "-o", "lcoal.connections=5")
    (line,) = lines(outcome)
    assert outcome.code == 0
    assert line.startswith("option lcoal.connections is not known. Did you mean local.connections, ")


def test_an_option_of_the_backend_in_use(filled: Caller) -> None:
    outcome = filled("snapshots", "-o", "local.conections=5")
    assert (outcome.code, lines(outcome)) == (
        1,
        ["Fatal: option local.conections is not known", "Did you mean local.connections?"],
    )


def test_options_of_other_backends_that_exist_are_passed_over_in_silence(filled: Caller) -> None:
    for name in ("b2.connections", "rest.deadline", "sftp.command", "s3.storage-class"):
        outcome = filled("snapshots", "-o", f"{name}=5")
        assert (outcome.code, outcome.err) == (0, "")


def test_an_unknown_option_is_told_of_once_for_two_repositories(filled: Caller) -> None:
    other = filled.create(name="other")
    outcome = filled("copy", "-q", "--from-repo", other, "-o", "b2.conections=5", RESTIC_FROM_PASSWORD=PASSWORD)
    assert (outcome.code, lines(outcome)) == (0, ["option b2.conections is not known. Did you mean b2.connections?"])


def test_flags_commands_and_migrations(filled: Caller) -> None:
    assert lines(filled("snapshots", "--hsot", "x")) == ["unknown flag: --hsot", "Did you mean --host?"]
    assert "\tsnapshots" in filled("snaphots").err
    assert lines(filled("migrate", "upgrade_repo_v1"))[:2] == [
        "unknown migration upgrade_repo_v1",
        "Did you mean upgrade_repo_v2?",
    ]
