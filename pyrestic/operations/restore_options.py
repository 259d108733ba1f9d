"""How to restore: what every entrance (command line, Python API, page) translates its arguments to."""

from dataclasses import dataclass, field

from pyrestic.localfs.restore_metadata import MetadataRules
from pyrestic.localfs.select import Patterns, Select, attribute_selector, restore_selector
from pyrestic.operations.existing import Overwrite


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """How to restore; most fields are the flags of that name. Without `privileged` it is `--no-privileged`."""

    overwrite: Overwrite = Overwrite.ALWAYS
    resume: bool = True
    """Skip files that an interrupted restore of the same has finished and nobody has touched since."""
    delete: bool = False
    dry_run: bool = False
    sparse: bool = False
    verify: bool = False
    ignore_free_space: bool = False
    strip_components: int = 0
    include: Patterns = field(default_factory=lambda: Patterns(option="include"))
    exclude: Patterns = field(default_factory=Patterns)
    ownership_by_name: bool = False
    include_xattr: tuple[str, ...] = ()
    exclude_xattr: tuple[str, ...] = ()
    privileged: bool = True

    def selector(self) -> Select | None:
        """Return what selects files, None for everything; raise UsageError for bad patterns or both kinds."""
        return restore_selector(self.include, self.exclude)

    def metadata_rules(self) -> MetadataRules:
        """Return how to restore metadata; raise UsageError for bad patterns or both kinds."""
        return MetadataRules(
            ownership_by_name=self.ownership_by_name,
            attributes=attribute_selector(self.include_xattr, self.exclude_xattr),
            privileged=self.privileged,
        )
