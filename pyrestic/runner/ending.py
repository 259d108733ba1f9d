"""The wish that the runner ends."""

import select


class EndRequest:
    """The signals that ask the runner to end: how many came, and a descriptor that is readable after each."""

    def __init__(self, descriptor: int = -1) -> None:
        self.count = 0
        self.descriptor = descriptor

    def is_asked(self) -> bool:
        """Whether the runner has to end."""
        return self.count > 0

    def drain(self) -> None:
        """Empty the descriptor."""

    def wait(self, seconds: float) -> None:
        """Wait until the time has passed or a signal comes."""
        select.select([self.descriptor] if self.descriptor >= 0 else [], [], [], seconds)
