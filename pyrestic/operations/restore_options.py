"""Restore options: every entry point (command line, Python API, page) translates its arguments to these."""

from dataclasses import dataclass, field

from pyrestic.localfs.restore_metadata import MetadataRules
from pyrestic.localfs.select import Patterns, Select, attribute_selector, restore_selector
from pyrestic.operations.existing import Overwrite


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """Restore options; most fields are the flags of that name. `privileged` is the opposite of `--no-privileged`."""

    overwrite: Overwrite = Overwrite.ALWAYS
    resume: bool = True
    """Skip files that an interrupted identical restore has finished and that were not modified since."""
    missing: bool = False
    """Restore only what the target lacks; what is there stays as it is, folders and their metadata included."""
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
        """Return the selector of files, None for everything; raise UsageError for bad or conflicting patterns."""
        return restore_selector(self.include, self.exclude)

    def metadata_rules(self) -> MetadataRules:
        """Return the metadata rules; raise UsageError for bad or conflicting patterns."""
        return MetadataRules(
            ownership_by_name=self.ownership_by_name,
            attributes=attribute_selector(self.include_xattr, self.exclude_xattr),
            privileged=self.privileged,
        )
