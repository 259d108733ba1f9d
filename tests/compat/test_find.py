"""Find beside the real restic: same words, same JSON, same exit codes."""

import pytest

from tests.support.both_programs import Beside, add_until_ambiguous, make_beside, parse_json, remove_pack_of

pytestmark = pytest.mark.restic

PATTERNS = [
    "find a.txt",
    "find --json a.txt",
    "find -l a.txt",
    "find --long --human-readable big.bin",
    "find --json *",
    "find *",
    "find -R a.txt",
    "find --reverse --json new",
    "find -q a.txt",
    "find -v a.txt",
    "find A.TXT",
    "find -i A.TXT",
    "find --ignore-case äöü* --json",
    "find -i ÄÖÜ\t€.TAR.GZ",
    "find -i *.md --json",
    "find bad* --json",
    "find -l *link* --json",
    "find -l *link*",
    "find pipe -l",
    "find nothing",
    "find nothing --json",
    "find nothing new a.txt",
    "find {source}/dir/sub",
    "find {source}/dir/*/deep/a.txt",
    "find {source}/**/a.txt --json",
    "find /**/deep/**",
    "find sub/deep",
    "find deep/a.txt --json",
    "find /a.txt",
    "find **",
    "find / --json",
    "find . --json",
    "find ''",
    "find '' --json -s {short1}",
    "find !new",
    "find !",
    "find !!new",
    "find \\[b\\]",
    "find [[]b]",
    "find [a-c].txt",
    "find [^a].txt",
    "find ?.txt",
    "find */",
    "find deep/../deep",
    "find we<i>&rd* --json",
    "find a.txt --host one",
    "find a.txt -H two --json",
    "find a.txt --tag a,b",
    "find a.txt --tag ''",
    "find a.txt --tag c --tag a",
    "find a.txt --path {source}/dir",
    "find a.txt --path /nowhere --json",
    "find a.txt -s {short1}",
    "find a.txt --snapshot {s2} --snapshot {short1} --json",
    "find a.txt -s latest",
    "find new -s latest --host one",
    "find a.txt -s nothing --json",
    "find a.txt -s {short1}:dir",
    "find a.txt -s {short1} --host two",
    "LOCKED find a.txt",
    "LOCKED --json find --no-lock=false a.txt",
    "find a.txt --quiet --json",
]
TIMES = [
    "find * --oldest 2001-09-09",
    "find * -O 2001-09-10 --json",
    "find * --newest 2001-09-09",
    "find * -N 2001-09-09\t03:46",
    "find * -N 2001-09-09\t03:46:40",
    "find * -N 2001-09-09\t03:46:39.999999999",
    "find * -N 2001-09-09\t03:46:40,0",
    "find * -N 2001-09-09\t1:46:40\t+0000",
    "find * -N 2001-09-09\t01:46:39\t+0000",
    "find * -N 2001-09-09\t01:46:40\tUTC",
    "find * -N 2001-09-09\t03:46:40\tCEST",
    "find * -N 2001-09-09\t02:46:40\tCET",
    "find * -N 2001-09-09\t01:46:40\tPST",
    "find * -N 2001-09-09\t01:46:40\tGMT+5",
    "find * -N 09.09.2001",
    "find * -N 09.09.2001\t03:46",
    "find * -N 09.09.2001\t03:46:40",
    "find * -N 09.09.2001\t03:46:40\t+0200",
    "find * -N 09.09.2001\t03:46:40\tCEST",
    "find * -N Sun\tSep\t9\t03:46:40\t+0200\tCEST\t2001",
    "find * -N sun\tsep\t09\t03:46:40\t+0200\tCEST\t2001",
    "find * -O 2020-03-29\t02:00 -N 2020-03-29\t02:59",
    "find * -O 2020-03-29\t03:00:00 -N 2020-03-29\t03:00:00",
    "find * -O 2020-03-29\t02:00:00 -N 2020-03-29\t02:00:00",
    "find * -O 1960-01-07 -N 1960-01-08",
    "find * -O 2001-01-01 -N 2001-01-01",
]
OBJECTS = [
    "find --blob {blob}",
    "find --blob {blob} --json",
    "find --blob {blob8} {other}",
    "find --blob {blob8} --json -R",
    "find --blob {other} --show-pack-id",
    "find --blob 00000000 --json",
    "find --blob {blob7}",
    "find --blob ''",
    "find --tree {tree}",
    "find --tree {tree} --json",
    "find --tree {tree8} {t1}",
    "find --tree {t1} {t2} {t3} --json -R",
    "find --tree {t1} -i --show-pack-id",
    "find --tree {missing}",
    "find --pack {pack} -s {short3}",
    "find --blob {blob} -O 2030-01-01",
    "find --blob {blob} --host one --tag a",
    "find -q --blob {blob}",
    "find --show-pack-id new",
]
UNORDERED = [
    "find --blob {blob} {other} {missing} zz --show-pack-id",
    "find --tree {tree} {missing} {nothex} --show-pack-id",
    "find --pack {pack8} --json",
    "find --pack {pack} {pack2} --show-pack-id",
    "find --blob {blob} --show-pack-id --json",
]
REFUSED = [
    "find",
    "find --json",
    "find [",
    "find --json a[",
    "find a.txt [z-a",
    "find --blob --tree x",
    "find --blob --pack x",
    "find --pack --tree x",
    "find --pack zz",
    "find --pack {pack} {missing} abcdef",
    "find --pack {pack7}",
    "find a -O x",
    "find a -O ''",
    "find a -N 2020-13-01",
    "find a -N 2020-02-30",
    "find a -N 2020-2-3",
    "find a -N 2020-02-03\t24:00",
    "find a -N 2020-02-03\t12:00:00\tcest",
    "find a -N 2020-02-03\t12:00:00\t+2500",
    "find a -N 2020-02-03T12:00:00Z",
    "find a -O 2020-02-03 -N 2020-02-02",
    "find a --frob",
    "find a --long=maybe",
    "find a -s",
]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """The repository of this module."""
    beside = make_beside(tmp_path_factory.mktemp("find"))
    source = beside.names["source"]
    uses = beside.restic("ls", "--json", "{short1}".format(**beside.names)).text
    assert "big.bin" in uses
    big = _content(beside, f"{source}/dir", "big.bin")
    small = _content(beside, source, "copy of a.txt")
    folder = _node(beside, source, "dir")["subtree"]
    packs = sorted(beside.restic("list", "packs").text.split())
    beside.names |= {"blob": big, "blob8": big[:8], "blob7": big[:7], "other": small}
    beside.names |= {"tree": folder, "tree8": folder[:8], "missing": "ab" * 32, "nothex": "xy" * 32}
    beside.names |= {"pack": packs[0], "pack8": packs[0][:8], "pack7": packs[0][:7], "pack2": packs[1]}
    return beside


def _node(beside: Beside, folder: str, name: str) -> dict[str, str]:
    tree = beside.restic("cat", "tree", f"{beside.names['s1']}:{folder}").json
    return next(node for node in tree["nodes"] if node["name"] == name)


def _content(beside: Beside, folder: str, name: str) -> str:
    return _node(beside, folder, name)["content"][0]


def test_patterns_find_the_same_in_the_same_words(beside: Beside) -> None:
    assert beside.differences(PATTERNS) == []


def test_times_are_read_and_compared_alike(beside: Beside) -> None:
    assert beside.differences(TIMES) == []


@pytest.mark.parametrize("zone", ["America/St_Johns", "UTC"])
def test_times_are_those_of_the_local_zone(beside: Beside, zone: str) -> None:
    assert beside.differences([*TIMES[:6], TIMES[-5], "find -l a.txt", "find --blob {blob8}"], TZ=zone) == []


def test_objects_are_found_alike(beside: Beside) -> None:
    assert beside.differences(OBJECTS) == []


def test_packs_of_objects_are_shown_alike(beside: Beside) -> None:
    assert beside.differences(UNORDERED, unordered=("find",)) == []


def test_what_is_wrong_is_refused_alike(beside: Beside) -> None:
    assert beside.differences(REFUSED) == []


def test_ids_that_mean_several_snapshots_or_name_folders_are_refused_alike(beside: Beside) -> None:
    many = beside.copy("many")
    add_until_ambiguous(many)
    lines = [
        "find new -s {digit}",
        "find new -s {digit} -s {short2} --json",
        "find new -s {short2}: -s latest: -s {short2}",
        "find new -s latest -s latest --host nobody",
        "find new -s {missing}",
        "diff {digit} {short1}",
        "diff {short1} {digit}:/",
        "stats {digit} {short1}",
        "stats {short1}: --json",
        "stats '' --json",
        "stats {missing} --mode raw-data",
    ]
    assert many.differences(lines) == []
    assert "multiple IDs with prefix" in many.pyrestic("find", "x", "-s", many.names["digit"]).err


def test_the_host_of_the_environment_counts_unless_an_empty_one_is_given(beside: Beside) -> None:
    lines = ["find a.txt", "find a.txt --host ''", "find a.txt --host one"]
    assert beside.differences(lines, RESTIC_HOST="two") == []


def test_damaged_trees_are_told_of_and_passed_over(beside: Beside) -> None:
    damaged = beside.copy("damaged")
    remove_pack_of(damaged, "tree", beside.names["tree"])
    lines = ["find a.txt", "find {source}", "find --blob {other}", "find --tree {t1} {tree}", "find nothing"]
    assert damaged.differences([f"--no-cache {line}" for line in lines]) == []
    ours = damaged.pyrestic("--no-cache", "find", "--json", "a.txt")
    assert ours.code == 1
    assert parse_json(ours.out)[0]
    assert "Unable to load tree" in ours.err
    assert "Unable to load tree" in damaged.pyrestic("--no-cache", "find", "a.txt").out


def test_blobs_of_a_lost_pack_are_found_by_the_index(beside: Beside) -> None:
    damaged = beside.copy("lost")
    damaged.names["pack"] = remove_pack_of(damaged, "blob", beside.names["blob"])
    assert damaged.differences(["find --pack {pack}", "find --pack {pack} --json", "find --pack {pack} abc"]) == []
    assert "some pack files are missing" in damaged.pyrestic("find", "--pack", damaged.names["pack"]).err
