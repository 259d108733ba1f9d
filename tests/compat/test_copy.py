"""Copy beside the real restic: the same words, the same snapshots and blobs in the target, which it calls whole."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.both_programs import Beside, make_beside, parse_json
from tests.support.compared_repositories import Twins, blobs_of, files_of, snapshots_of
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, find_pyrestic

pytestmark = pytest.mark.restic

FROM = "--from-repo {source_repository}"
COPIES = [
    "",
    "{short1}",
    "-v {s2}",
    "latest --host one {s1} {short1}",
    "-H one -H nobody --tag a,b",
    "--tag ''",
    "--path {source} --host=",
    "-q nothing {short1}:/dir {short4} --host two",
    "--compression max --pack-size 8 --no-lock {short5}",
]
REFUSED = [
    "copy {short1}",
    "copy --from-repo {folder}/nowhere",
    "copy --from-repo x --from-repository-file y",
    "copy --from-repo x --repo2 y",
    "copy --repo2 x --repository-file2 y",
    "copy --from-password-file x",
    "copy --from-repository-file {folder}/place --from-password-file {folder}/nothing",
]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """An empty repository, and the names of another one with five snapshots."""
    folder = tmp_path_factory.mktemp("copy")
    full = make_beside(folder)
    empty = Beside(folder, make_quick_repository(folder / "empty"))
    empty.names = {**full.names, "source_repository": str(full.repository), "folder": str(folder)}
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "place").write_text(str(full.repository) + "\n")
    return empty


@pytest.fixture
def twins(beside: Beside, tmp_path: Path) -> Twins:
    return Twins(beside, tmp_path)


@pytest.mark.parametrize("line", COPIES)
def test_the_same_is_copied_in_the_same_words(twins: Twins, line: str) -> None:
    words = " ".join(filter(None, ["copy", FROM, line]))
    theirs, ours = twins.run(words, RESTIC_FROM_PASSWORD=PASSWORD)
    assert ours.code == theirs.code
    assert ours.lines == theirs.lines
    assert ours.snapshots == theirs.snapshots
    assert ours.blobs == theirs.blobs
    if not line:
        twins.check()


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused_is_refused_alike(twins: Twins, line: str) -> None:
    theirs, ours = twins.run(line, RESTIC_FROM_PASSWORD=PASSWORD, RESTIC_PASSWORD2=PASSWORD)
    assert ours.code == theirs.code != 0
    assert ours.lines == theirs.lines
    assert ours.snapshots == []


@pytest.mark.parametrize(
    ("line", "environment"),
    [
        ("--from-repository-file {folder}/place --from-password-file {folder}/password --from-key-hint 00", {}),
        ("--from-repo={source_repository} --from-password-command cat\t{folder}/password {short1}", {}),
        (
            "{short1}",
            {"RESTIC_FROM_REPOSITORY_FILE": "{folder}/place", "RESTIC_FROM_PASSWORD_FILE": "{folder}/password"},
        ),
        (
            "",
            {"RESTIC_FROM_REPOSITORY": "{source_repository}", "RESTIC_FROM_PASSWORD_COMMAND": "cat {folder}/password"},
        ),
        ("--from-repo {source_repository}", {"RESTIC_FROM_PASSWORD": "wrong"}),
        (
            "{short1}",
            {
                "RESTIC_FROM_REPOSITORY": "{source_repository}",
                "RESTIC_FROM_PASSWORD": PASSWORD,
                "RESTIC_FROM_KEY_HINT": "00",
            },
        ),
        ("--from-repo {source_repository} --from-insecure-no-password", {"RESTIC_FROM_PASSWORD": PASSWORD}),
    ],
)
def test_the_source_is_named_in_every_way(twins: Twins, line: str, environment: dict[str, str]) -> None:
    values: dict[str, Any] = {name: value.format(**twins.beside.names) for name, value in environment.items()}
    theirs, ours = twins.run(f"copy {line}".rstrip(), **values)
    assert (ours.code, ours.lines, ours.snapshots) == (theirs.code, theirs.lines, theirs.snapshots)


@pytest.mark.parametrize(
    ("line", "environment"),
    [
        ("--repo2 {target} --password-file2 {folder}/password", {}),
        ("--repo2 {target} --password-command2 cat\t{folder}/password --key-hint2 00", {}),
        ("--repository-file2 {target}.place", {"RESTIC_PASSWORD2": PASSWORD}),
        ("", {"RESTIC_REPOSITORY2": "{target}", "RESTIC_PASSWORD2": PASSWORD, "RESTIC_KEY_HINT2": "00"}),
        ("", {"RESTIC_REPOSITORY_FILE2": "{target}.place", "RESTIC_PASSWORD_FILE2": "{folder}/password"}),
        ("", {"RESTIC_REPOSITORY2": "{target}", "RESTIC_PASSWORD_COMMAND2": "cat {folder}/password"}),
    ],
)
def test_by_the_old_names_the_second_repository_is_the_target(
    beside: Beside, tmp_path: Path, line: str, environment: dict[str, str]
) -> None:
    outcomes = []
    for name in ("theirs", "ours"):
        target = tmp_path / name
        shutil.copytree(beside.repository, target)
        Path(f"{target}.place").write_text(str(target))
        names = {**beside.names, "target": str(target)}
        words = [word.format(**names).replace("\t", " ") for word in f"copy {line}".rstrip().split(" ")]
        values: dict[str, Any] = {key: value.format(**names) for key, value in environment.items()}
        source = Path(names["source_repository"])
        if name == "theirs":
            code = beside.theirs.run(*words, repository=source, code=None, **values).code
        else:
            code = beside.ours("--repo", source, *words, RESTIC_REPOSITORY=None, **values).code
        outcomes.append((code, snapshots_of(target), blobs_of(target)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == 0
    assert len(outcomes[0][1]) == 5


def test_what_one_program_copied_the_other_does_not_copy_again(twins: Twins) -> None:
    twins.run(f"copy {FROM}", RESTIC_FROM_PASSWORD=PASSWORD)
    twins.theirs, twins.ours = twins.ours, twins.theirs
    before = files_of(twins.ours), files_of(twins.theirs)
    theirs, ours = twins.run(f"copy {FROM} -v", RESTIC_FROM_PASSWORD=PASSWORD)
    assert ours.lines == theirs.lines
    assert sum("was already copied" in one for one in ours.lines) == 5
    assert (ours.files, theirs.files) == before


def test_a_chain_of_copies_and_a_way_back_end_where_they_began(twins: Twins) -> None:
    """The original ID stays through all of it, so nothing is copied back."""
    first = twins.ours
    names = twins.beside.names
    outcome = twins.beside.ours(
        "copy", "--repo", first, "--from-repo", names["source_repository"], RESTIC_FROM_PASSWORD=PASSWORD
    )
    assert outcome.code == 0
    back = twins.folder / "back"
    shutil.copytree(names["source_repository"], back)
    outcome = twins.beside.ours("copy", "--repo", back, "--from-repo", first, RESTIC_FROM_PASSWORD=PASSWORD)
    assert outcome.code == 0
    assert files_of(back)["snapshots"] == 5
    real = twins.beside.theirs.run("copy", "-v", "--from-repo", first, repository=back, RESTIC_FROM_PASSWORD=PASSWORD)
    assert real.text.count("was already copied") == 5


def test_json_ends_with_what_was_copied(beside: Beside, tmp_path: Path) -> None:
    target = tmp_path / "target"
    shutil.copytree(beside.repository, target)
    words: list[str | Path] = ["copy", "--json", "--repo", target, "--from-repo", beside.names["source_repository"]]
    first = beside.ours(*words, RESTIC_FROM_PASSWORD=PASSWORD)
    (summary,) = parse_json(first.out)
    assert summary["message_type"] == "summary"
    assert {one["source"] for one in summary["snapshots"]} == {beside.names[f"s{number}"] for number in range(1, 6)}
    assert summary["skipped"] == []
    assert summary["blobs"] == len(blobs_of(target))
    (again,) = parse_json(beside.ours(*words, RESTIC_FROM_PASSWORD=PASSWORD).out)
    assert again["snapshots"] == []
    assert {(one["id"], one["source"]) for one in again["skipped"]} == {
        (one["id"], one["source"]) for one in summary["snapshots"]
    }


def test_a_process_of_its_own_copies_too(beside: Beside, tmp_path: Path) -> None:
    target = tmp_path / "target"
    shutil.copytree(beside.repository, target)
    source = beside.names["source_repository"]
    done = find_pyrestic(tmp_path).run("copy", "--from-repo", source, repository=target, RESTIC_FROM_PASSWORD=PASSWORD)
    assert done.text.count(" saved, copied from source snapshot ") == 5
    beside.theirs.run("check", "--read-data", repository=target)
