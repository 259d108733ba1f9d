"""Long lists in pages, so that neither server nor browser ever holds an entire one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pages:
    """The part of `count` items on a page; pages count from 1, and numbers beyond the last mean the last."""

    count: int
    on_page: int
    asked: int = 1

    @property
    def last(self) -> int:
        """The number of the last page; 1 even if there are no items."""
        return max(1, -(-self.count // self.on_page))

    @property
    def number(self) -> int:
        """The number of this page."""
        return max(1, min(self.asked, self.last))

    @property
    def first(self) -> int:
        """The number of items on the previous pages."""
        return (self.number - 1) * self.on_page

    @property
    def end(self) -> int:
        """The number of items up to the end of this page."""
        return min(self.count, self.first + self.on_page)
