"""The tables that say where a secret is found, such as `{ file = "~/.config/pyrestic/b2.key" }`."""

from typing import Any

from pyrestic.errors import UsageError
from pyrestic.nearest import suggest
from pyrestic.profiles.profile import Secret

_SOURCES = ("keyring", "file", "command", "credential")
_EXPECTED = (
    "must be a table such as { keyring = true }, { file = PATH }, { command = [WORDS] } or { credential = NAME }"
)


def parse_secret(value: Any) -> Secret:  # noqa: ANN401 - any value of TOML
    """Return where a secret is found; raise UsageError, which never contains a secret."""
    if isinstance(value, str):
        raise UsageError(
            f"a secret is not written into this file, which gets copied, shown and backed up; it {_EXPECTED}"
        )
    if not isinstance(value, dict):
        raise UsageError(_EXPECTED)
    for key in value:
        if key not in _SOURCES:
            raise UsageError(f"there is no source {key!r} of secrets", hint=suggest(key, _SOURCES, "keys"))
    if len(value) != 1:
        raise UsageError(f"{_EXPECTED}, with one key")
    ((source, argument),) = value.items()
    return Secret(source, _parse_argument(source, argument))


def parse_text_or_secret(value: Any) -> str | Secret:  # noqa: ANN401 - any value of TOML
    """Return a text as it is, and a table as the place of a secret; raise UsageError."""
    return value if isinstance(value, str) else parse_secret(value)


def parse_texts_or_secrets(value: Any) -> tuple[str | Secret, ...]:  # noqa: ANN401 - any value of TOML
    """Return each item of a list; raise UsageError."""
    if not isinstance(value, list | tuple):
        raise UsageError("must be a list")
    return tuple(parse_text_or_secret(one) for one in value)


def _parse_argument(source: str, argument: object) -> str | tuple[str, ...]:
    if source == "keyring":
        if argument is not True:
            raise UsageError("keyring must be true")
        return ""
    if source == "command":
        words = argument if isinstance(argument, list) else []
        if not words or not all(isinstance(word, str) for word in words) or not words[0]:
            raise UsageError("command must be a list of words, as it runs without a shell")
        return tuple(words)
    if not isinstance(argument, str) or not argument:
        raise UsageError(f"{source} must be a text")
    if source == "credential" and ("/" in argument or argument in (".", "..")):
        raise UsageError("credential must be a name, not a path")
    if source == "file" and not argument.startswith("/"):
        raise UsageError("file must be an absolute path, or one that begins with ~")
    return argument
