"""Ways to damage a repository on disk."""

import os
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def delete(path: Path) -> None:
    """Remove the file."""
    path.unlink()


def truncate(path: Path) -> None:
    """Cut off the second half."""
    os.chmod(path, 0o600)
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    """Cut off everything."""
    os.chmod(path, 0o600)
    os.truncate(path, 0)


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    os.chmod(path, 0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


DAMAGES: dict[str, Damage] = {"delete": delete, "truncate": truncate, "empty": empty, "flip": flip}
KINDS = ("data pack", "tree pack", "index", "snapshot", "key", "config")


def find_file(repository: Path, kind: str) -> Path:
    """Return a file of a kind in a small repository: the largest pack holds data, the smallest trees."""
    if kind == "config":
        return repository / "config"
    if kind.endswith("pack"):
        packs = sorted((repository / "data").glob("??/*"), key=lambda path: path.stat().st_size)
        return packs[-1] if kind == "data pack" else packs[0]
    folders = {"index": "index", "snapshot": "snapshots", "key": "keys", "lock": "locks"}
    return next(iter(sorted((repository / folders[kind]).iterdir())))
