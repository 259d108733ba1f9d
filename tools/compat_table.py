"""Writes docs/compat.md: each command, flag and variable with the test that proves it beside the real restic.

    python3 tools/run_tests.py --write-compat      # runs all tests, then writes it
    python tools/compat_table.py FOLDER            # writes it from what the tests have left in FOLDER
    python tools/compat_table.py FOLDER --check    # says whether docs/compat.md is true, as CI does

The tests leave which of them gave which flag to which program (`tests/support/usage.py`). A flag counts as proven by a
test that gave it to both programs. Whether restic knows a flag, the real restic is asked.
"""

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pyrestic.cli.main import program  # noqa: E402 - the checkout need not be installed
from tests.support.usage import OURS, Use, collect, commands, long_name, own_options  # noqa: E402

PAGE = ROOT / "docs" / "compat.md"
DIFFERENCES = ROOT / "docs" / "differences.md"
RESTIC = ROOT / ".tools" / "restic-0.19"
ALONE = "pyrestic alone"
GLOBAL = "global flags"
VARIABLES = "variables"
INTRODUCTION = f"""# Command line: what is proven, and where it differs

Written by `python3 tools/run_tests.py --write-compat`; `python3 tools/run_tests.py` fails where it is not true. A test
that is named gave the flag to pyrestic and to the real restic 0.19 and compared what came of it: exit code, output,
files, repository. There are more tests than are named: of those that use a flag it is the one with least else in it.
“{ALONE}” marks what restic does not have."""
UNPROVEN: dict[tuple[str, str], str] = {}
"""Flags that no test can give to both programs, and why."""


class Row(NamedTuple):
    """A flag (empty: the command itself, or a variable) and its proof."""

    command: str
    flag: str
    shown: str
    in_restic: bool


def main() -> int:
    """Write or check the page; return the exit code."""
    words = [word for word in sys.argv[1:] if word != "--check"]
    if len(words) != 1 or not Path(words[0]).is_dir():
        print(__doc__)
        return 2
    if not RESTIC.exists():
        print("the real restic is not here to be asked: the page is not looked at")
        return 1 if os.environ.get("CI") == "true" else 0
    uses = collect(Path(words[0]))
    proofs = find_proofs(uses)
    rows = list(find_rows())
    if "--check" in sys.argv:
        wrong = check(rows, proofs, {use.test for use in uses})
        print("\n".join(wrong))
        return 1 if wrong else 0
    PAGE.write_text(render(rows, proofs))
    missing = [f"{row.command} {row.flag}" for row in rows if choose(row, proofs) == ""]
    print(f"{len(rows)} rows", *(f"no test: {name}" for name in missing), sep="\n")
    return 1 if missing else 0


Proofs = dict[tuple[str, str], dict[str, tuple[bool, int]]]
"""For a command and flag the tests that gave it to both programs, or to ours where restic has none. Each has a rank,
the lower the better: whether it only ever ended with errors, and the number of commands and flags that it gave."""


def find_proofs(uses: Iterable[Use]) -> tuple[Proofs, Proofs]:
    """Return the tests that used something with both programs, and those that used it with ours."""
    by_test: defaultdict[str, set[Use]] = defaultdict(set)
    for use in uses:
        if use.test:
            by_test[use.test].add(use)
    both: Proofs = defaultdict(dict)
    ours: Proofs = defaultdict(dict)
    global_names = {long_name(option) for option in _global_options()}
    for test, used in by_test.items():
        all_by, worked_by = (
            {
                is_ours: {(use.command, use.flag) for use in chosen if (use.program == OURS) is is_ours}
                for is_ours in (True, False)
            }
            for chosen in (used, [use for use in used if use.worked])
        )
        for found, pairs, worked in (
            (both, all_by[True] & all_by[False], worked_by[True] & worked_by[False]),
            (ours, all_by[True], worked_by[True]),
        ):
            for command, flag in pairs:
                rank = ((command, flag) not in worked, len(pairs))
                found[command, flag][test] = rank
                if flag in global_names:
                    found[GLOBAL, flag][test] = min(rank, found[GLOBAL, flag].get(test, rank))
                if not command:
                    found[VARIABLES, flag][test] = rank
    return both, ours


def find_rows() -> Iterable[Row]:
    """Yield the rows of the page in order."""
    for option in _global_options():
        yield Row(GLOBAL, long_name(option), _shown(option), _restic_knows("snapshots", option))
    for name, command in commands():
        if name == "":
            continue
        yield Row(name, "", f"`{name}`", _restic_has(name))
        for option in own_options(command):
            known = _restic_has(name) and _restic_knows(name, option)
            yield Row(name, long_name(option), _shown(option), known)
    for name in VARIABLE_NAMES:
        yield Row(VARIABLES, name, f"`{name}`", in_restic=True)


VARIABLE_NAMES = (
    "RESTIC_REPOSITORY",
    "RESTIC_REPOSITORY_FILE",
    "RESTIC_PASSWORD",
    "RESTIC_PASSWORD_FILE",
    "RESTIC_PASSWORD_COMMAND",
    "RESTIC_KEY_HINT",
    "RESTIC_CACERT",
    "RESTIC_TLS_CLIENT_CERT",
    "RESTIC_CACHE_DIR",
    "RESTIC_COMPRESSION",
    "RESTIC_PACK_SIZE",
    "RESTIC_HOST",
    "RESTIC_PROGRESS_FPS",
    "RESTIC_READ_CONCURRENCY",
    "RESTIC_FEATURES",
    "RESTIC_HTTP_USER_AGENT",
    "RESTIC_FROM_REPOSITORY",
    "RESTIC_FROM_REPOSITORY_FILE",
    "RESTIC_FROM_PASSWORD",
    "RESTIC_FROM_PASSWORD_FILE",
    "RESTIC_FROM_PASSWORD_COMMAND",
    "RESTIC_FROM_KEY_HINT",
    "RESTIC_REPOSITORY2",
    "RESTIC_REPOSITORY_FILE2",
    "RESTIC_PASSWORD2",
    "RESTIC_PASSWORD_FILE2",
    "RESTIC_PASSWORD_COMMAND2",
    "RESTIC_KEY_HINT2",
    "RESTIC_REST_USERNAME",
    "RESTIC_REST_PASSWORD",
    "B2_ACCOUNT_ID",
    "B2_ACCOUNT_KEY",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "TZ",
)
"""The variables of restic 0.19 for the places that pyrestic knows."""


def _global_options() -> list[click.Option]:
    return sorted((one for one in program.params if isinstance(one, click.Option)), key=long_name)


def _shown(option: click.Option) -> str:
    return ", ".join(f"`{name}`" for name in sorted(option.opts, key=len, reverse=True))


def _restic_has(name: str) -> bool:
    done = subprocess.run([str(RESTIC), *name.split(), "--help"], capture_output=True, text=True)
    return f"restic {name} [" in done.stdout or f"restic {name}\n" in done.stdout


def _restic_knows(name: str, option: click.Option) -> bool:
    words = [str(RESTIC), *name.split(), f"{long_name(option)}=1", "--help"]
    done = subprocess.run(words, capture_output=True, text=True)
    return "unknown flag" not in done.stderr


def choose(row: Row, proofs: tuple[Proofs, Proofs]) -> str:
    """Return the test that proves a row, the one that is most about it; a reason where none can; empty if none does."""
    both, ours = proofs
    key = (row.command, row.flag)
    if key in UNPROVEN:
        return UNPROVEN[key]
    found = (both if row.in_restic else ours).get(key, {})
    if not found:
        return ""
    return f"`{min(found, key=lambda test: (found[test], test)).removeprefix('tests/')}`"


def render(rows: list[Row], proofs: tuple[Proofs, Proofs]) -> str:
    """Return the page."""
    differences = _read_differences()
    text = [INTRODUCTION]
    section = None
    for row in rows:
        if row.command != section:
            if section is not None:
                text += _render_differences(differences, section)
            section = row.command
            text += ["", f"## {section}", "", "| what | proof |", "|---|---|"]
        mark = "" if row.in_restic else f"{ALONE}: "
        text.append(f"| {row.shown} | {mark}{choose(row, proofs)} |")
    text += ["", "## Whatever the command", ""]
    text += [f"- {line}" for name, line in differences if not name]
    return "\n".join(text) + "\n"


def _render_differences(differences: list[tuple[frozenset[str], str]], command: str) -> list[str]:
    found = [f"- {line}" for names, line in differences if command in names]
    return ["", "Differences:", "", *found] if found else []


def _read_differences() -> list[tuple[frozenset[str], str]]:
    """Return the lines of docs/differences.md, each with the commands that its first column names."""
    known = {name for name, _ in commands()}
    found = []
    for line in DIFFERENCES.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| ") or cells[0] == "what":
            continue
        what, theirs, ours, why = (*cells, "", "", "")[:4]
        quoted = " ".join(re.findall(r"`([^`]*)`", what))
        names = frozenset(name for name in known if re.search(rf"(^|\s){re.escape(name)}(\s|$)", quoted))
        theirs = theirs or "nothing of the kind"
        reason = f" ({why.rstrip(' |')})" if why.rstrip(" |") else ""
        found.append((names, f"{what}: restic: {theirs}; pyrestic: {ours}{reason}"))
    return found


def check(rows: list[Row], proofs: tuple[Proofs, Proofs], run: set[str]) -> list[str]:
    """Return what is not true in the page: rows too many, too few, or with a test that does not prove them.

    A test that was skipped, as those that mount are where nothing can be mounted, has to exist at least.
    """
    both, ours = proofs
    stated: dict[tuple[str, str], str] = {}
    section = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| `"):
            shown, text = line.strip("| ").split(" | ")
            stated[section, shown] = text
    wrong = []
    for row in rows:
        proof = stated.pop((row.command, row.shown), None)
        if proof is None:
            wrong.append(f"{row.command} {row.shown}: has no row")
            continue
        test = proof.removeprefix(f"{ALONE}: ").strip("`")
        found = (both if row.in_restic else ours).get((row.command, row.flag), {})
        if f"tests/{test}" not in run and _exists(test):
            print(f"{row.command} {row.shown}: {test} was skipped")
            continue
        if UNPROVEN.get((row.command, row.flag)) != proof.removeprefix(f"{ALONE}: ") and f"tests/{test}" not in found:
            wrong.append(f"{row.command} {row.shown}: {proof or 'no test'} does not prove it")
    wrong += [f"{section} {shown}: a row for nothing" for section, shown in stated]
    if _lines_of_differences(PAGE.read_text()) != _lines_of_differences(render(rows, proofs)):
        wrong.append("the differences are not those of docs/differences.md")
    return [f"docs/compat.md: {line}" for line in wrong] + (
        ["Run python3 tools/run_tests.py --write-compat."] if wrong else []
    )


def _exists(test: str) -> bool:
    path, _, name = test.partition("::")
    file = ROOT / "tests" / path
    return bool(name) and file.is_file() and f"def {name}(" in file.read_text()


def _lines_of_differences(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("- ")]


if __name__ == "__main__":
    sys.exit(main())
