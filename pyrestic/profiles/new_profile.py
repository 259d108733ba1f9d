"""The file of a profile that `setup` writes, and the files with its secrets."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyrestic.backend.private_folder import open_private
from pyrestic.errors import LocalFileError, UsageError
from pyrestic.localfs.own_text import is_unchanged, mark

_SENTENCE = "Written by `pyrestic setup`. Change it as you like: it is never written again."
_MAX_BYTES = 1 << 20
_RULES = (("keep-hourly", 48), ("keep-daily", 30), ("keep-monthly", 24), ("keep-yearly", '"unlimited"'))


@dataclass(frozen=True, slots=True)
class NewProfile:
    """What a person chose. Secrets are not in it: `password` and values of `env` are TOML."""

    name: str
    repo: str
    password: str
    source: tuple[str, ...]
    exclude: tuple[str, ...]
    every: str
    keeps_all: bool
    skips_missing: bool
    env: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str | int | bool | tuple[str, ...]] = field(default_factory=dict)
    """Global flags."""

    def encode(self) -> str:
        """Return the file; raise UsageError for a path that is not UTF-8."""
        lines = ["version = 1", "", f"[profile.{self._key}]", f"repo = {quote(self.repo)}"]
        lines += [f"password = {self.password}", *(f"env.{name} = {value}" for name, value in self.env.items())]
        lines += [f"{name} = {_encode(value)}" for name, value in self.flags.items()]
        if self.skips_missing:
            lines.append('if-missing = "skip"')
        lines += ["", f"[profile.{self._key}.backup]", f"source = {_list(self.source)}"]
        lines += [f"every = {quote(self.every)}", f"exclude = {_list(self.exclude)}", "exclude-caches = true"]
        if not self.keeps_all:
            rules = [f"{name} = {value}" for name, value in _RULES]
            lines += ["", f"[profile.{self._key}.forget]", *rules, "", f"[profile.{self._key}.prune]"]
        text = "\n".join([*lines, ""])
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"a profile cannot contain a path that is not UTF-8: {error.object!r}") from None
        return mark(text, _SENTENCE)

    @property
    def _key(self) -> str:
        """The name as a key of TOML."""
        return quote(self.name) if "." in self.name else self.name


def quote(text: str) -> str:
    """Return a text as TOML writes it; nothing in it is filled in."""
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False).replace("\x7f", "\\u007f")


def fold_home(path: str, home: str) -> str:
    """Return a path with ~ in place of the home folder."""
    home = home.rstrip("/")
    return f"~{path[len(home) :]}" if home and (path == home or path.startswith(f"{home}/")) else path


def create_file(folder: str, name: str, text: str) -> str:
    """Write a file that nobody else can read, unless it exists with this content; return its path.

    Raises UsageError if it has another content.
    """
    path = os.path.join(folder, name)
    content = text.encode("utf-8", "surrogateescape")
    try:
        with open_private(folder, create=True) as place:
            try:
                if place.read(name, _MAX_BYTES) == content:
                    return path
            except FileNotFoundError:
                place.replace(name, [content])
                return path
    except OSError as error:
        raise LocalFileError(f"{path}: {error.strerror or errno.errorcode.get(error.errno or 0)}") from error
    raise UsageError(f"{path} exists and is not replaced", hint="Rename it, or choose another name for the profile.")


def remove_unchanged(folder: str, name: str) -> bool | None:
    """Remove the file of a profile if nobody changed it; return whether, None if there is none."""
    try:
        with open_private(folder) as place:
            if not is_unchanged(place.read(name, _MAX_BYTES).decode("utf-8", "replace")):
                return False
            place.remove(name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalFileError(f"{os.path.join(folder, name)}: {error.strerror}") from error
    return True


def _encode(value: str | int | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return quote(value) if isinstance(value, str) else _list(value)


def _list(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(map(quote, texts))}]"
