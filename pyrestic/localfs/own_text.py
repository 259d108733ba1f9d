"""Files that this program wrote, recognized by the hash of their content in the first line.

A file that a person wrote, or changed, has another first line or another hash, and is left alone.
"""

import hashlib


def mark(text: str, sentence: str) -> str:
    """Return the text below a comment with a sentence and the hash of the text."""
    return f"# {sentence} Hash: {_hash(text)}\n{text}"


def is_unchanged(text: str) -> bool:
    """Tell whether a file is as `mark` made it."""
    first, _, rest = text.partition("\n")
    return first.startswith("# ") and first.endswith(f" Hash: {_hash(rest)}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
