"""The type of the manual of a command."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Manual:
    """The manual of one command. Examples are pairs of a purpose and a line."""

    examples: tuple[tuple[str, str], ...] = ()
    details: tuple[str, ...] = ()
    """Paragraphs that follow the help text."""
    exits: dict[int, str] = field(default_factory=dict)
    """Exit statuses that only this command has, or that have a special meaning here."""
    variables: tuple[str, ...] = ()
    opens_repository: bool = True
