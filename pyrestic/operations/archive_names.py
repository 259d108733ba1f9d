"""Names in zip archives that are safe to extract anywhere.

Other programs treat a backslash as a separator, `C:` as a drive and `..` as the parent, and terminals interpret control
characters. Such names are changed; all others stay, as in restic's archives.
"""

import hashlib
import posixpath
import re

# Control characters, line and paragraph separators, bidirectional marks (all as UTF-8), backslashes, and the colon of a
# drive.
_replace_harmful = re.compile(
    rb"[\x00-\x1f\x7f\\]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]|(?<=\A[A-Za-z]):"
).sub
_NO_NAMES = (b"", b".", b"..")
_DIGITS = 8


def safe_zip_name(path: bytes) -> bytes:
    """Return a path for a zip archive, without slashes at its ends; each dangerous name in it is changed.

    A changed name ends with part of its hash, so it is unique.
    """
    return b"/".join(map(_safe, path.split(b"/")))


def _safe(name: bytes) -> bytes:
    shown = b"_" * (len(name) or 1) if name in _NO_NAMES else _replace_harmful(b"_", name)
    if shown == name:
        return name
    stem, extension = posixpath.splitext(shown)
    return b"%s~%s%s" % (stem, hashlib.sha256(name).hexdigest()[:_DIGITS].encode(), extension)
