"""How the service says no."""


class CallError(Exception):
    """An answer other than 200: status, code and message as B2 gives them."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def bad_request(message: str, code: str = "bad_request") -> CallError:
    """Return the error for an invalid request."""
    return CallError(400, code, message)


def unauthorized(message: str) -> CallError:
    """Return the error for a key that may not do this."""
    return CallError(401, "unauthorized", message)
