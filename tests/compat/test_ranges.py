"""Certificate files that are none and numbers beyond their range: refused as restic does, also where unused."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program, Result

LINES: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["--cacert", "/absent", "snapshots"]),
    ({}, ["version", "--cacert", "/absent"]),
    ({}, ["--cacert", "/etc", "snapshots"]),
    ({}, ["--cacert", "/dev/null", "snapshots"]),
    ({}, ["--cacert", "/etc/hostname", "snapshots"]),
    ({"RESTIC_CACERT": "/absent"}, ["snapshots"]),
    ({"RESTIC_CACERT": "/absent"}, ["version"]),
    ({"RESTIC_CACERT": "/absent"}, ["cat", "config"]),
    ({"RESTIC_CACERT": "/dev/null"}, ["snapshots"]),
    ({"RESTIC_TLS_CLIENT_CERT": "/absent"}, ["snapshots"]),
    ({}, ["--tls-client-cert", "/absent", "snapshots"]),
    ({"RESTIC_PACK_SIZE": "x"}, ["version"]),
    ({"RESTIC_PACK_SIZE": "-1"}, ["snapshots"]),
    ({"RESTIC_PACK_SIZE": "0x10"}, ["snapshots"]),
    ({"RESTIC_PACK_SIZE": "99999999999"}, ["version"]),
    ({"RESTIC_PACK_SIZE": "129"}, ["snapshots"]),
    ({"RESTIC_PACK_SIZE": "129"}, ["version"]),
    ({"RESTIC_PACK_SIZE": "129"}, ["snapshots", "--pack-size", "16"]),
    ({}, ["snapshots", "--pack-size", "3"]),
    ({}, ["snapshots", "--pack-size", "4294967296"]),
    ({}, ["snapshots", "--pack-size", "18446744073709551616"]),
    ({"RESTIC_READ_CONCURRENCY": "x"}, ["backup", "{source}"]),
    ({"RESTIC_READ_CONCURRENCY": "-1"}, ["backup", "{source}"]),
    ({"RESTIC_READ_CONCURRENCY": "4294967296"}, ["backup", "{source}"]),
    ({"RESTIC_READ_CONCURRENCY": "x"}, ["backup", "{source}", "--read-concurrency", "3"]),
    ({"RESTIC_READ_CONCURRENCY": "x"}, ["snapshots"]),
    ({"RESTIC_READ_CONCURRENCY": "0"}, ["backup", "-q", "{source}"]),
    ({"RESTIC_COMPRESSION": "x"}, ["version"]),
    ({"RESTIC_PROGRESS_FPS": "x"}, ["snapshots"]),
    ({}, ["snapshots", "--limit-upload", "9223372036854775808"]),
    ({}, ["snapshots", "--limit-download", "1e3"]),
    ({}, ["snapshots", "--limit-download", "-1"]),
    ({}, ["snapshots", "--retry-lock", "5"]),
    ({}, ["snapshots", "--retry-lock", "9999999h"]),
    ({}, ["snapshots", "--stuck-request-timeout", "x"]),
    ({}, ["snapshots", "--latest", "99999999999999999999"]),
    ({}, ["cache", "--max-age", "18446744073709551616"]),
]


@pytest.mark.parametrize(("environment", "line"), LINES, ids=[f"{number}" for number in range(len(LINES))])
def test_it_is_refused_as_restic_refuses_it(
    pyrestic: Program, newest: Program, tmp_path: Path, environment: dict[str, str], line: list[str]
) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    (tmp_path / "source").mkdir()
    filled = [argument.format(source=tmp_path / "source") for argument in line]
    ours, theirs = (_run(program, filled, repository, environment) for program in (pyrestic, newest))
    assert ours.code == theirs.code, (ours, theirs)
    if theirs.code:
        assert ours.stderr.splitlines()[:1] == theirs.stderr.splitlines()[:1]


def _run(program: Program, line: list[str], repository: Path, environment: dict[str, str]) -> Result:
    given: Any = {"RESTIC_REPOSITORY": str(repository), **environment}
    return program.run(*line, code=None, **given)
