"""Restic's filter, restated as plainly as possible: try every expansion and every offset.

Slow and simple on purpose; it is what the fast matcher is compared with.
"""

import os


class BadPatternError(Exception):
    """What Go calls ErrBadPattern."""


def match_component(pattern: bytes, name: bytes) -> bool:
    """Go's filepath.Match for one path component."""
    chunks = _chunks(pattern)
    for _, chunk in chunks:
        _match_chunk(chunk, b"")
    for number, (star, chunk) in enumerate(chunks):
        last = number == len(chunks) - 1
        if star and not chunk:
            return True
        tails = [name[skip:] for skip in range(len(name) + 1 if star else 1)]
        rests = [_match_chunk(chunk, tail) for tail in tails]
        fitting = [rest for rest in rests if rest is not None and not (last and rest)]
        if not fitting:
            return False
        name = fitting[0]
    return not name


def _chunks(pattern: bytes) -> list[tuple[bool, bytes]]:
    chunks = []
    while pattern:
        rest = pattern.lstrip(b"*")
        star = rest != pattern
        inside = False
        index = 0
        while index < len(rest) and (inside or rest[index] != ord("*")):
            if rest[index] == ord("\\"):
                index += 1
            elif rest[index] in b"[]":
                inside = rest[index] == ord("[")
            index += 1
        chunks.append((star, rest[:index]))
        pattern = rest[index:]
    return chunks


def _match_chunk(chunk: bytes, text: bytes) -> bytes | None:
    failed = False
    while chunk:
        failed = failed or not text
        if chunk[0] == ord("["):
            code, text = _rune(text) if not failed else (-1, text)
            negated = chunk[1:2] == b"^"
            chunk = chunk[2:] if negated else chunk[1:]
            ranges: list[tuple[int, int]] = []
            while not (ranges and chunk[:1] == b"]"):
                low, chunk = _escaped(chunk)
                high = low
                if chunk[:1] == b"-":
                    high, chunk = _escaped(chunk[1:])
                ranges.append((low, high))
            chunk = chunk[1:]
            failed = failed or negated == any(low <= code <= high for low, high in ranges)
        elif chunk[0] == ord("?"):
            text = _rune(text)[1] if not failed else text
            chunk = chunk[1:]
        else:
            if chunk[0] == ord("\\"):
                chunk = chunk[1:]
                if not chunk:
                    raise BadPatternError
            failed = failed or text[0] != chunk[0]
            text, chunk = text[1:], chunk[1:]
    return None if failed else text


def _escaped(chunk: bytes) -> tuple[int, bytes]:
    if not chunk or chunk[0] in b"-]":
        raise BadPatternError
    if chunk[0] == ord("\\"):
        chunk = chunk[1:]
    if not chunk:
        raise BadPatternError
    code, rest = _rune(chunk)
    if (code == 0xFFFD and len(chunk) - len(rest) == 1) or not rest:
        raise BadPatternError
    return code, rest


def _rune(text: bytes) -> tuple[int, bytes]:
    for width in (1, 2, 3, 4):
        try:
            return ord(text[:width].decode()), text[width:]
        except (UnicodeDecodeError, TypeError):
            continue
    return 0xFFFD, text[1:]


def _split(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/", *parts[1:]] if parts[0] == b"" else parts


def _prepare(pattern: bytes) -> list[bytes]:
    clean = os.path.normpath(pattern)
    parts = _split(clean[1:] if clean.startswith(b"//") else clean)
    return [b"" if part == b"**" else part for part in parts]


def _match(parts: list[bytes], names: list[bytes]) -> bool:
    if b"" in parts:
        place = parts.index(b"")
        return any(
            _match(parts[:place] + [b"*"] * stars + parts[place + 1 :], names)
            for stars in range(len(names) - len(parts) + 2)
        )
    if not parts:
        return not names
    first, last = 0, len(names) - len(parts)
    if parts[0] == b"/":
        last = min(last, 0)
    elif names[0] == b"/":
        first = 1
    return any(
        all(_match_part(part, name) for part, name in zip(parts, names[offset:], strict=False))
        for offset in range(first, last + 1)
    )


def _match_part(part: bytes, name: bytes) -> bool:
    return part == name if not set(part) & set(b"\\[]*?") else match_component(part, name)


def _match_below(parts: list[bytes], names: list[bytes]) -> bool:
    if parts[0] != b"/":
        return True
    if b"" in parts:
        names = names[: parts.index(b"")]
    return _match(parts[: len(names)], names)


def match_list(patterns: list[bytes], path: bytes) -> tuple[bool, bool]:
    """Whether the list matches path, and whether it may match below it."""
    matched = below = False
    names = _split(path)
    for pattern in filter(None, patterns):
        negated = pattern.startswith(b"!")
        parts = _prepare(pattern[negated:])
        fits = _match(parts, names)
        if negated:
            matched, below = matched and not fits, below and not fits
        else:
            matched, below = matched or fits, below or _match_below(parts, names)
    return matched, below
