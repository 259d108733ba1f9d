"""What a client needs to use a place that is served here."""

import shlex
import socket
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """A place for repositories: `location` is the beginning of theirs, to which a name is appended.

    `options` are extended options, `environment` has the variables with credentials, and `ca_file` holds the
    certificate of an authority to trust.
    """

    location: str
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    ca_file: str = ""

    def flags(self, name: str) -> list[str]:
        """Return the global flags for a repository of this name, for both programs."""
        trusted = ["--cacert", self.ca_file] if self.ca_file else []
        options = [word for option in self.options for word in ("-o", option)]
        return ["--repo", self.location + name, *trusted, *options]

    def show(self) -> str:
        """Return what a person types to use it."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return "\n".join([*lines, shlex.join(["pyrestic", *self.flags("repository"), "init"])])


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
