"""docs/safety.md: each promise names tests, and the tests are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = [
    line
    for line in (ROOT / "docs" / "safety.md").read_text().splitlines()
    if line.startswith("|") and not line.startswith(("| when", "|---"))
]


def test_every_promise_names_tests_that_exist() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert named, f"no test is named: {row}"
        for name in named:
            module = ast.parse((ROOT / name).read_text())
            tests = [node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
            assert any(test.startswith("test_") for test in tests), f"{name} holds no test"


def test_every_module_of_the_campaigns_is_named_by_a_promise() -> None:
    text = "\n".join(ROWS)
    for path in (ROOT / "tests" / "damage").glob("test_*.py"):
        assert str(path.relative_to(ROOT)) in text
