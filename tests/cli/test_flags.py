"""How flags are read, whatever the command."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.cli.main import main
from tests.support.cli import Caller


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], 'unknown command "frobnicate" for "pyrestic"\n'),
        (["snapshot"], 'unknown command "snapshot" for "pyrestic"\n\nDid you mean this?\n\tsnapshots\n\n'),
        (["snapshots", "--frob"], "unknown flag: --frob\n"),
        (["snapshots", "--frob=1"], "unknown flag: --frob\n"),
        (["--frob", "snapshots"], "unknown flag: --frob\n"),
        (["snapshots", "---frob"], "bad flag syntax: ---frob\n"),
        (["snapshots", "-qZx"], "unknown shorthand flag: 'Z' in -Zx\n"),
        (["snapshots", "--latest"], "flag needs an argument: --latest\n"),
        (["snapshots", "-qr"], "flag needs an argument: 'r' in -r\n"),
        (
            ["snapshots", "--latest", "x"],
            'invalid argument "x" for "--latest" flag: strconv.ParseInt: parsing "x": invalid syntax\n',
        ),
        (
            ["snapshots", "--compact=maybe"],
            'invalid argument "maybe" for "-c, --compact" flag: strconv.ParseBool: parsing "maybe": invalid syntax\n',
        ),
        (
            ["snapshots", "-g", "foo"],
            'invalid argument "foo" for "-g, --group-by" flag: unknown grouping option: "foo"\n',
        ),
        (
            ["--compression", "foo", "version"],
            'invalid argument "foo" for "--compression" flag: invalid compression mode "foo", '
            "must be one of (auto|off|fastest|better|max)\n",
        ),
        (
            ["--pack-size=-1", "version"],
            'invalid argument "-1" for "--pack-size" flag: strconv.ParseUint: parsing "-1": invalid syntax\n',
        ),
        (
            ["--retry-lock", "5", "version"],
            'invalid argument "5" for "--retry-lock" flag: time: missing unit in duration "5"\n',
        ),
        (["list"], "accepts 1 arg(s), received 0\n"),
        (["list", "foo"], 'invalid argument "foo" for "pyrestic list"\n'),
        (
            ["restore", "--overwrite", "foo", "--bogus"],
            'invalid argument "foo" for "--overwrite" flag: invalid overwrite behavior "foo", '
            "must be one of (always|if-changed|if-newer|never)\n",
        ),
        (["version", "-q", "-v"], "Fatal: --quiet and --verbose cannot be specified at the same time\n"),
        (["version", "-o", "=x"], "Fatal: empty key is not a valid option\n"),
        (["version", "-o", "a=b,A=c"], 'Fatal: key "a" present more than once\n'),
        (["snapshots"], "Fatal: Please specify repository location (-r or --repository-file)\n"),
        (
            ["snapshots", "-r", "x", "--repository-file", "y"],
            "Fatal: Options -r and --repository-file are mutually exclusive, please specify only one\n",
        ),
    ],
)
def test_a_wrong_command_line_is_refused_in_the_words_of_restic(
    call: Caller, arguments: list[str], message: str
) -> None:
    outcome = call(*arguments, RESTIC_REPOSITORY=None)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(message)


def test_errors_are_json_if_that_flag_stands_left_of_them(call: Caller) -> None:
    left = call("--json", "snapshots", "--frob")
    right = call("snapshots", "--frob", "--json")
    assert json.loads(left.err) == {"message_type": "exit_error", "code": 1, "message": "unknown flag: --frob"}
    assert right.err == "unknown flag: --frob\n"


def test_an_unknown_command_is_plain_text_even_with_json(call: Caller) -> None:
    assert call("--json", "nothing").err == 'unknown command "nothing" for "pyrestic"\n'


def test_global_flags_stand_before_and_after_the_command(call: Caller) -> None:
    assert call("--json", "version").json["message_type"] == "version"
    assert call("version", "--json").json["message_type"] == "version"
    assert call("--json=true", "version").json["message_type"] == "version"


def test_a_switch_is_switched_off_by_false(call: Caller) -> None:
    assert call("version", "--json", "--json=false").out.startswith("pyrestic ")
    assert call("version", "--json=0").out.startswith("pyrestic ")


def test_short_flags_are_bundled_and_take_their_value_in_three_ways(made: Caller) -> None:
    place = str(made.repository)
    for words in (["-qr", place], ["-qr" + place], ["-qr=" + place], ["-q", "-r", place]):
        assert made("list", "keys", *words, RESTIC_REPOSITORY=None).code == 0


def test_a_flag_that_is_counted_a_billion_times_takes_no_more_memory(call: Caller) -> None:
    call.create()
    tracemalloc.start()
    try:
        outcome = call("snapshots", "--verbose=2000000000")
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()
    assert (outcome.code, outcome.err) == (0, "")


def test_the_last_of_two_values_counts(made: Caller) -> None:
    assert made("-r", "/nowhere", "list", "keys", "-r", str(made.repository)).code == 0
    assert made("-r", str(made.repository), "list", "keys", "-r", "/nowhere").code == 10


def test_a_value_may_look_like_a_flag(made: Caller) -> None:
    assert made("snapshots", "--host", "--json").out == ""


def test_two_dashes_end_the_flags(made: Caller) -> None:
    outcome = made("snapshots", "--", "--json")
    assert outcome.err.startswith('Ignoring "--json": no matching ID found for prefix "--json"\n')


def test_a_deprecated_flag_still_works_and_says_what_to_use(made: Caller) -> None:
    outcome = made("snapshots", "--last")
    assert (outcome.code, outcome.err) == (0, "Flag --last has been deprecated, use --latest 1\n")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RESTIC_PACK_SIZE", "x", 'invalid value for RESTIC_PACK_SIZE "x": strconv.ParseUint: parsing "x"'),
        ("RESTIC_COMPRESSION", "x", 'invalid value for RESTIC_COMPRESSION "x": invalid compression mode "x"'),
        ("RESTIC_FEATURES", "x=true", 'unknown feature flag "x"'),
    ],
)
def test_a_wrong_variable_is_fatal_for_any_command(call: Caller, variable: str, value: str, message: str) -> None:
    outcome = call("version", **{variable: value})
    assert outcome.code == 1
    assert message in outcome.err


def test_a_flag_wins_over_a_wrong_variable(call: Caller) -> None:
    assert call("version", "--compression", "max", RESTIC_COMPRESSION="x").code == 0
    assert call("version", "--pack-size", "16", RESTIC_PACK_SIZE="x").code == 0


def test_packs_of_an_odd_size_are_refused(made: Caller) -> None:
    assert "smaller than minimum of 4 MiB" in made("list", "keys", "--pack-size", "3").err
    assert made("list", "keys", RESTIC_PACK_SIZE="129").code == 1
    assert made("list", "keys", "--pack-size", "128").code == 0


def test_help_is_shown_in_every_way_to_ask_for_it(call: Caller) -> None:
    shown = call("--help").out
    assert "Back up:" in shown
    assert call().out == call("help").out == call("-h").out == shown
    assert call("help", "snapshots").out == call("snapshots", "-h").out
    assert "--group-by" in call("snapshots", "-h").out
    assert call("key").out == call("key", "nonsense").out
    assert [call("key").code, call().code] == [0, 0]


def test_arguments_are_refused_by_commands_that_take_none(call: Caller) -> None:
    assert "expects no arguments" in call("init", "x").err
    assert "key list command expects no arguments" in call("key", "list", "x").err
    assert call("version", "x").code == 0


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12), max_size=6))
def test_no_command_line_is_met_with_a_bug(words: list[str]) -> None:
    assert main(["version", *words]) in (0, 1)
