"""Names in zip archives: harmless wherever the archive is unpacked.

Programs that unpack take a backslash for a separator, `C:` for a drive and `..` for a way out, and show what control
characters make of a terminal. Such names are changed; all others stay as they are, as in restic's archives.
"""

import hashlib
import posixpath
import re

# Control characters, line and paragraph separators, what changes the direction of text (all as UTF-8), backslashes,
# and the colon of a drive.
_replace_harmful = re.compile(
    rb"[\x00-\x1f\x7f\\]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]|(?<=\A[A-Za-z]):"
).sub
_NO_NAMES = (b"", b".", b"..")
_DIGITS = 8


def safe_zip_name(path: bytes) -> bytes:
    """Return a path for a zip archive, without a slash at its ends; each of its names that would do harm is changed.

    A changed name ends with a part of its hash, so it is that of no other file.
    """
    return b"/".join(map(_safe, path.split(b"/")))


def _safe(name: bytes) -> bytes:
    shown = b"_" * (len(name) or 1) if name in _NO_NAMES else _replace_harmful(b"_", name)
    if shown == name:
        return name
    stem, extension = posixpath.splitext(shown)
    return b"%s~%s%s" % (stem, hashlib.sha256(name).hexdigest()[:_DIGITS].encode(), extension)
