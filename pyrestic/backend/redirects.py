"""HTTP redirects: followed within the requested host, reported otherwise.

Requests carry credentials, so no other host gets one, and after https nothing goes over plain http. The method stays
the same, even if a browser would switch to GET.
"""

from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from pyrestic.backend.http import Answer
from pyrestic.errors import AccessError, BackendError

MOST_IN_A_ROW = 5
_STATUS = {301, 302, 303, 307, 308}


class Redirects:
    """The location of the files of one server: below `base`, or the redirect target. Thread-safe."""

    def __init__(self, base: str) -> None:
        self._base = base

    def follow(self, rest: str, send: Callable[[str], Answer]) -> Answer:
        """Return the response of `send` for the URL that ends with `rest`, after any redirect.

        Raises AccessError for a redirect to another host or to plain http, BackendError for an endless one.
        """
        address = self._base + rest
        for _ in range(MOST_IN_A_ROW + 1):
            answer = send(address)
            location = answer.headers.get("location", "")
            if answer.status not in _STATUS or not location:
                if answer.status < 400 and address.endswith(rest):
                    # The next request goes there directly: no body should be sent twice.
                    self._base = address.removesuffix(rest)
                return answer
            address = _allowed(address, location)
        raise BackendError(f"the server at {_shown(address)} redirects in a loop")


def _allowed(address: str, location: str) -> str:
    """Return the target of a redirect; raise AccessError if it must not be followed."""
    try:
        target = urljoin(address, location)
        before, after = urlsplit(address), urlsplit(target)
        same = before.hostname == after.hostname and after.username is None
        port = after.port is None or after.port > 0
    except ValueError:
        same = port = False
        target = location
    if not (same and port):
        raise AccessError(
            f"the server redirects to {_shown(target)}, which is another host; nothing is sent there",
            hint="If that is the location of the repository, use it in --repo.",
        )
    if after.scheme not in ("https", before.scheme):
        raise AccessError(f"the server redirects to {_shown(target)}, which is not encrypted; nothing is sent there")
    return target


def _shown(url: str) -> str:
    """Return scheme and host of a URL for a person."""
    try:
        parts = urlsplit(url)
        text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else url
    except ValueError:
        text = url
    return "".join(character if character.isprintable() else "?" for character in text[:200])
