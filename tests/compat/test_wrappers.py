"""Programs that others wrote around restic run unchanged on pyrestic: runrestic and resticpy, from PyPI."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic

CONFIG = """
name = "test"
repositories = ["{repository}"]

[environment]
RESTIC_PASSWORD = "{password}"

[execution]
exit_on_error = true
parallel = false
retry_count = 0

[backup]
sources = ["{source}"]
exclude_patterns = ["*.tmp"]

[prune]
keep-last = 1
group-by = "host"

[metrics.prometheus]
path = "{metrics}"
password_replacement = "******"
"""


def make_source(folder: Path) -> None:
    folder.mkdir()
    for number in range(5):
        (folder / f"file {number}").write_bytes(os.urandom(20_000))
    (folder / "left out.tmp").write_bytes(b"x")


def link(program: Program, folder: Path) -> dict[str, str]:
    """Return an environment in which `restic` is the program."""
    folder.mkdir()
    path = folder / "restic"
    words = " ".join(f"'{word}'" for word in program.command)
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    environment = program.environment()
    return environment | {"PATH": f"{folder}:{environment['PATH']}"}


def shape(metrics: str) -> dict[str, str]:
    """Return the metrics with those figures blanked that no two runs share."""
    found = {}
    for line in metrics.splitlines():
        name, _, value = line.rpartition(" ")
        if line and not line.startswith("#"):
            blank = re.search(r"duration|time|last_run|size|bytes|added|trees", name) is not None
            found[re.sub(r'repository="[^"]*"', "", name)] = "" if blank else value
    return found


def test_runrestic_backs_up_prunes_checks_and_counts_as_on_restic(
    pyrestic: Program, newest: Program, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The folders above the source are counted as well, so nothing is written next to it.
    source = tmp_path_factory.mktemp("quiet") / "source"
    make_source(source)
    results: list[dict[str, str]] = []
    for program in (newest, pyrestic):
        environment = link(program, tmp_path / f"bin {program.name}")
        metrics = tmp_path / f"metrics {program.name}"
        config = tmp_path / f"{program.name}.toml"
        config.write_text(
            CONFIG.format(
                repository=tmp_path / f"repository {program.name}",
                password=PASSWORD,
                source=source,
                metrics=metrics,
            )
        )
        for actions in (["init"], ["backup"], ["backup", "prune", "check", "stats"]):
            done = subprocess.run(
                [sys.executable, "-m", "runrestic", "--config", str(config), *actions],
                env=environment,
                capture_output=True,
                text=True,
                timeout=200,
            )
            if "No module named runrestic.__main__" in done.stderr:
                code = "from runrestic.runrestic.runrestic import runrestic; runrestic()"
                done = subprocess.run(
                    [sys.executable, "-c", code, "--config", str(config), *actions],
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=200,
                )
            assert done.returncode == 0, done.stdout + done.stderr
        results.append(shape(metrics.read_text()))
        newest.run("check", "--read-data", repository=tmp_path / f"repository {program.name}")
        assert len(newest.snapshots(tmp_path / f"repository {program.name}")) == 1
    assert results[0] == results[1]
    assert len(results[0]) > 10


RESTICPY = """
import json, sys
import restic

restic.binary_path = sys.argv[1]
restic.repository = sys.argv[2]
source, target = sys.argv[3:5]
out = {}
restic.init()
out["backup"] = sorted(restic.backup(paths=[source], exclude_patterns=["*.tmp"], tags=["one"]))
out["again"] = restic.backup(paths=[source], exclude_patterns=["*.tmp"])["files_unmodified"]
out["snapshots"] = [sorted(one) for one in restic.snapshots(group_by=["host"])]
out["tagged"] = len(restic.snapshots(tags=["one"]))
out["find"] = [[match["path"] for match in one["matches"]] for one in restic.find("file 3")]
out["stats"] = restic.stats(mode="raw-data")["snapshots_count"]
restic.restore("latest", target_dir=target)
out["check"] = restic.check(read_data=True) is not None
groups = restic.forget(keep_last=1, group_by=["host"])
out["forget"] = [[len(group["keep"]), len(group["remove"] or [])] for group in groups]
out["key"] = len(restic.key.list()) if hasattr(restic, "key") and hasattr(restic.key, "list") else None
restic.unlock()
print(json.dumps(out))
"""


def test_resticpy_gets_the_same_values_as_from_restic(pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    make_source(tmp_path / "source")
    script = tmp_path / "script.py"
    script.write_text(RESTICPY)
    results: list[dict[str, Any]] = []
    for program in (newest, pyrestic):
        environment = link(program, tmp_path / f"bin {program.name}")
        binary = tmp_path / f"bin {program.name}" / "restic"
        target = tmp_path / f"target {program.name}"
        words = [script, binary, tmp_path / f"repository {program.name}", tmp_path / "source", target]
        done = subprocess.run(
            [sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr[-3000:]
        results.append(json.loads(done.stdout.splitlines()[-1]))
        restored = target / (tmp_path / "source").relative_to("/")
        assert sorted(path.name for path in restored.iterdir()) == [f"file {number}" for number in range(5)]
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["restic", "pyrestic"])
def test_a_link_of_either_name_is_the_program(pyrestic: Program, tmp_path: Path, name: str) -> None:
    script = tmp_path / name
    script.write_text(f"#!{sys.executable}\nfrom pyrestic.cli.main import run\nrun()\n")
    script.chmod(0o755)
    done = subprocess.run([script, "--help"], env=pyrestic.environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"Usage: {name} ")
    wrong = subprocess.run([script, "nonsense"], env=pyrestic.environment(), capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 1
    assert f'for "{name}"' in wrong.stderr
