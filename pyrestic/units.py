"""Lengths and durations in restic's display formats."""

_BYTES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def format_bytes(count: int) -> str:
    """Return a length such as 1.500 KiB or 12 B."""
    for size, unit in _BYTES:
        if count >= size:
            return f"{count / size:.3f} {unit}"
    return f"{count} B"


def format_percent(part: int, whole: int) -> str:
    """Return a percentage such as 12.50%, "" if the total is 0."""
    return f"{min(100.0, 100.0 * part / whole):.2f}%" if whole else ""


def format_duration(seconds: float) -> str:
    """Return minutes and seconds as m:ss, with hours in front if there are any."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def plain_number(value: float) -> float:
    """Return a number that JSON shows without a fraction if it has none, as Go writes it."""
    return int(value) if value.is_integer() else value


_MODE_LETTERS = "dalTLDpSugct?"


def format_mode(mode: int) -> str:
    """Return Go's FileMode bits as Go prints them, such as drwxr-xr-x."""
    kind = "".join(letter for bit, letter in enumerate(_MODE_LETTERS) if mode >> (31 - bit) & 1) or "-"
    return kind + "".join(letter if mode >> (8 - bit) & 1 else "-" for bit, letter in enumerate("rwxrwxrwx"))
