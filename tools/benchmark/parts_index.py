"""Parts that open repositories of very many blobs."""

from typing import ClassVar

from tools.benchmark.measuring import PASSWORD, BenchmarkError, Run, Tool
from tools.benchmark.part import Part
from tools.make_scale import make_scale


class OpenPart(Part):
    """A repository whose index names very many blobs: one of them is read."""

    blobs: ClassVar[int]

    def make(self) -> None:
        """Make the index, and one blob that is there."""
        self.repository = self.work / "repository"
        self.made = make_scale(self.repository, named=self.amount(self.blobs), password=PASSWORD, params=self.key)
        self.steps = {"cat-blob": self.cat_blob}

    def cat_blob(self, tool: Tool) -> Run:
        """Print the blob, for which both tools load the whole index."""
        result = self.run(tool, self.repository, "cat", "blob", self.made.blob.hex())
        if result.output != self.made.content:
            raise BenchmarkError(f"{tool.name} printed another blob")
        return result


class OpenMillionPart(OpenPart):
    """1,000,000 blobs."""

    name = "open-1m"
    blobs = 1_000_000


class OpenMillionsPart(OpenPart):
    """5,000,000 blobs."""

    name = "open-5m"
    blobs = 5_000_000
