"""Everyday substitutes for the field's terms, banned from documentation, help texts, messages, docstrings and comments.

A reader should meet one term for one thing. To ban another phrase, rewrite its last use and add it here with its term.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BANNED = {
    r"leaves? Python to": "release the GIL",
    r"Python's (global )?lock|the interpreter's lock": "the GIL",
    r"at hand\b": "local, cached, available",
    r"amiss": "wrong, a problem",
    r"g[ia]ve[sn]? back": "restore, return, release",
    r"hotel": "captive portal",
    r"(too|as) dear\b|dearer\b|\bdear keys": "expensive",
    r"for ever\b": "forever",
    r"mends?\b(?! the fence)": "fix, repair",
    r"mak(e|es|ing) no sense": "invalid",
    r"come round|gets? round": "wrap around, reach",
    r"looks? after\b": "manage, watch",
    r"this machine's zone": "the local time zone",
    r"what (came|comes) of": "the result",
    r"what becomes of": "the result",
    r"in so many words": "explicitly",
    r"pass(ed|es|ing)? over": "skip, ignore",
    r"put to use": "use",
    r"t(ake|akes|ook) down\b": "record",
    r"redirections?\b": "redirect",
    r"time-outs?\b": "timeout",
    r"in vain": "without effect",
    r"worth while": "worthwhile",
    r"as ever\b": "as usual",
    r"(of|for|by|from) any thread|not for two threads": "thread-safe, not thread-safe",
    r"half[- ]written": "partly written",
    r"one in the other": "nested",
    r"longest ago": "least recently",
    r"many a\b": "many",
    r"at no time": "never",
    r"quiet guest": "background process",
    r"to and fro\b": "round trip",
    r"notebook": "log, journal",
    r"worked through": "processed",
    r"the clock on the wall": "wall clock",
    r"the processor's caches?\b": "the CPU cache",
    r"told of\b|tells? of\b": "reported, reports",
    r"nobody wants": "unused",
    r"believed\b": "trusted, used only after",
    r"hears? of": "receive",
    r"goes the way": "follows the path",
    r"the book\b": "the log",
    r"who wants": "callers that need",
    r"(the|and) like\b": "similar ...",
    r"shall\b": "must, should",
    r"other things\b": "other entries, other objects",
    r"a look\b": "a check, a lookup",
    r"takes? off\b": "removes",
}
"""Phrases, and what to write instead."""
PATTERNS = {re.compile(rf"\b(?:{pattern})", re.IGNORECASE): term for pattern, term in BANNED.items()}
ANY = re.compile(rf"\b(?:{'|'.join(BANNED)})", re.IGNORECASE)
COMMENT = re.compile(r"#[# ]*(.*)")
"""A comment, or a piece of a string, whose phrases count as well."""
TEXTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "pyrestic").rglob("*.html")),
]
SOURCES = [*sorted((ROOT / "pyrestic").rglob("*.py")), *sorted((ROOT / "tools").rglob("*.py"))]


def texts_of(path: Path) -> Iterator[str]:
    """Yield what a person reads in a file, each piece in one line: all of a text; strings and comments of a module."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield " ".join(source.split())
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield " ".join(node.value.split())
    yield " ".join(COMMENT.findall(source))


def find_banned(path: Path) -> list[str]:
    """Return each banned phrase in a file with its surroundings and its term."""
    # No phrase reaches from one line to the next.
    text = "\n".join(texts_of(path))
    found = []
    for match in ANY.finditer(text):
        term = next(term for pattern, term in PATTERNS.items() if pattern.match(text, match.start()))
        around = text[max(0, match.start() - 30) : match.end() + 30]
        found.append(f"...{around}... -> {term}")
    return found


def test_no_everyday_word_replaces_a_term() -> None:
    assert len(SOURCES) > 100
    found = {str(path.relative_to(ROOT)): find_banned(path) for path in [*TEXTS, *SOURCES]}
    assert {name: phrases for name, phrases in found.items() if phrases} == {}


def test_a_phrase_is_found_across_lines_and_in_comments(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""It leaves\nPython to others."""\n# nothing is\n# amiss here\ny = f"kept {1} for ever"\n')
    assert [line.rpartition(" -> ")[2] for line in find_banned(module)] == [
        "release the GIL",
        "forever",
        "wrong, a problem",
    ]
