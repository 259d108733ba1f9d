"""Tables as restic prints them: a header, a line of dashes, rows whose cells may have several lines, a footer."""

from collections.abc import Sequence
from unicodedata import combining, east_asian_width


def display_width(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def format_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], footer: str = "", *, spaced: bool = False
) -> list[str]:
    """Return the lines of a table; `spaced` puts a blank line between rows of several lines."""
    widths = [
        max(display_width(line) for cell in (name, *(row[number] for row in rows)) for line in cell.split("\n"))
        for number, name in enumerate(columns)
    ]
    dashes = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [*_row(columns, widths), dashes]
    for number, row in enumerate(rows):
        if spaced and number:
            lines.append("")
        lines += _row(row, widths)
    return [*lines, dashes, *(footer.split("\n") if footer else [])]


def _row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    split = [cell.split("\n") for cell in cells]
    lines = []
    for number in range(max(map(len, split))):
        texts = [lines_of[number] if number < len(lines_of) else "" for lines_of in split]
        padded = [text + " " * (width - display_width(text)) for text, width in zip(texts, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines
