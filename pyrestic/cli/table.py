"""Tables as restic prints them: a header, a line of dashes, rows whose cells may have several lines, a footer."""

from collections.abc import Sequence
from unicodedata import combining, east_asian_width

from pyrestic.cli.quoting import quote

Cell = str | Sequence[str]
"""A text, or the lines of one."""


def display_width(text: str) -> int:
    """Return the number of terminal columns of a text."""
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def format_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    footer: Sequence[str] = (),
    *,
    spaced: bool = False,
    quoted: bool = False,
) -> list[str]:
    """Return the lines of a table; `spaced` puts a blank line between rows of several lines.

    With `quoted`, cells cannot forge rows: see quoting.quote. Without it, a line break in a text starts a line.
    """
    table = [[_lines(cell, quoted=quoted) for cell in row] for row in rows]
    widths = [
        max(map(display_width, (name, *(line for row in table for line in row[number]))))
        for number, name in enumerate(columns)
    ]
    dashes = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [*_row([[name] for name in columns], widths), dashes]
    for number, row in enumerate(table):
        if spaced and number:
            lines.append("")
        lines += _row(row, widths)
    return [*lines, dashes, *footer]


def _lines(cell: Cell, *, quoted: bool) -> list[str]:
    lines = [cell] if isinstance(cell, str) else list(cell)
    return list(map(quote, lines)) if quoted else "\n".join(lines).split("\n")


def _row(split: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    lines = []
    for number in range(max(map(len, split))):
        texts = [lines_of[number] if number < len(lines_of) else "" for lines_of in split]
        padded = [text + " " * (width - display_width(text)) for text, width in zip(texts, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines
