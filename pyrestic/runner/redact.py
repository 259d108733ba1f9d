"""Removes secrets from texts that leave the machine or end up in a log."""

import re
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

_SHOWN = "***"
_SHORTEST = 3
"""Shorter secrets are no secrets, and removing them would leave nothing of a text."""
_USER_INFO = re.compile(r"(?<=://)[^\s/@]+(?=@)")
"""User name and password in a URL."""


class Redactor:
    """Replaces the given secrets, and what could be one in a URL."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
        # A longer one may contain a shorter one.
        words = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        self._pattern = re.compile(words) if words else None

    def clean(self, text: str) -> str:
        """Return a text without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(_SHOWN, text)
        return _USER_INFO.sub(_SHOWN, text)

    def clean_value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return a value of JSON without secrets in its texts and names."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {self.clean(str(key)): self.clean_value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_value(item) for item in value]
        return value


def url_secrets(urls: Collection[str]) -> list[str]:
    """Return the parts of URLs that only their owner knows: everything but scheme and host."""
    found = []
    for url in urls:
        try:
            parts = urlsplit(url)
            found += [url, parts.password or "", parts.username or ""]
        except ValueError:
            found.append(url)
            continue
        pieces = (*parts.path.split("/"), *re.split("[&=]", parts.query), parts.fragment)
        found += [piece for piece in pieces if _looks_secret(piece)]
    return found


def _looks_secret(piece: str) -> bool:
    """Tell whether a piece of a URL is an ID or token instead of a word such as `webhooks`."""
    return len(piece) >= 16 or (len(piece) >= 8 and any(character.isdigit() for character in piece))


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, and as URLs and JSON contain it."""
    stripped = secret.strip()
    return {stripped, quote(stripped), quote(stripped, safe=""), *stripped.splitlines()}
