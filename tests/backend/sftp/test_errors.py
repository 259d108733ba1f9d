"""What the server's codes and the last lines of ssh mean."""

import pytest

from pyrestic.backend.sftp.errors import StatusError, error_of, error_of_ending
from pyrestic.errors import AccessError, BackendError, NoAnswerError, NotFoundError, TransientError, UnreachedError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (2, NotFoundError),
        (3, AccessError),
        (4, TransientError),
        (5, BackendError),
        (6, TransientError),
        (7, TransientError),
        (8, BackendError),
        (4711, BackendError),
    ],
)
def test_codes_become_errors(code: int, kind: type[BackendError]) -> None:
    error = error_of(StatusError(code, ""), "saving it")
    assert type(error) is kind
    assert str(error).startswith("saving it failed: ")
    assert len(str(error_of(StatusError(code, "Long " * 1000), "saving it"))) < 200


@pytest.mark.parametrize(
    "line",
    [
        "Host key verification failed.",
        "me@host: Permission denied (publickey).",
        "ssh: Could not resolve hostname nowhere: Name or service not known",
        "subsystem request failed on channel 0",
        "/etc/ssh/ssh_config line 1: Bad configuration option: x",
    ],
)
@pytest.mark.parametrize("reached", [False, True])
def test_what_a_person_must_settle_ends_at_once_with_the_last_line(line: str, reached: bool) -> None:
    error = error_of_ending("ssh", 255, ["a warning", line], reached=reached)
    assert type(error) is AccessError
    assert line.removeprefix("ssh: ").rstrip(".") in str(error)


@pytest.mark.parametrize(
    "lines",
    [
        ["ssh: connect to host 127.0.0.1 port 1: Connection refused"],
        ["ssh: Could not resolve hostname x: Temporary failure in name resolution"],
        ["kex_exchange_identification: Connection closed by remote host", "Connection closed by 127.0.0.1 port 22"],
        ["ssh: connect to host 10.0.0.1 port 22: No route to host"],
    ],
)
def test_a_network_may_come_back(lines: list[str]) -> None:
    assert type(error_of_ending("ssh", 255, lines, reached=False)) is UnreachedError
    later = error_of_ending("ssh", 255, lines, reached=True)
    assert type(later) is NoAnswerError
    assert later.attempts is None


@pytest.mark.parametrize(("code", "words"), [(255, "exit code 255"), (-2, "signal 2"), (None, "closed the connection")])
def test_an_end_without_a_word_is_described(code: int | None, words: str) -> None:
    error = error_of_ending("ssh", code, [], reached=False)
    assert type(error) is AccessError
    assert words in str(error)
