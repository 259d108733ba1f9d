"""Long lists in pages, so that neither server nor browser ever holds all of one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pages:
    """Which part of `count` things is on a page; pages count from 1, and one beyond the last is the last."""

    count: int
    on_page: int
    asked: int = 1

    @property
    def last(self) -> int:
        """The number of the last page; 1 even if there is nothing."""
        return max(1, -(-self.count // self.on_page))

    @property
    def number(self) -> int:
        """The number of this page."""
        return max(1, min(self.asked, self.last))

    @property
    def first(self) -> int:
        """How many things are on the pages before."""
        return (self.number - 1) * self.on_page

    @property
    def end(self) -> int:
        """How many things are on the pages up to this one."""
        return min(self.count, self.first + self.on_page)
