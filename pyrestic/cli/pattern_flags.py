"""Flags for files to include and to exclude."""

from collections.abc import Mapping

from pyrestic.cli.flag_fields import Flags, texts
from pyrestic.localfs.select import Patterns
from pyrestic.localfs.text_file import read_patterns


class ExcludeFlags(Flags):
    """The flags for files to exclude."""

    TITLE = "Exclude files"
    exclude: tuple[str, ...] = texts("-e", "--exclude", value="PATTERN", help="exclude files that match PATTERN")
    exclude_file: tuple[str, ...] = texts("--exclude-file", value="FILE", help="read exclude patterns from FILE")
    iexclude: tuple[str, ...] = texts("--iexclude", value="PATTERN", help="like --exclude, but ignores case")
    iexclude_file: tuple[str, ...] = texts(
        "--iexclude-file", value="FILE", help="like --exclude-file, but ignores case"
    )

    @property
    def excludes(self) -> bool:
        """Whether any of them is given."""
        return bool(self.exclude or self.exclude_file or self.iexclude or self.iexclude_file)

    def read_excludes(self, environment: Mapping[str, str]) -> Patterns:
        """Return the patterns, including those in files; raise UsageError."""
        exact = (*self.exclude, *read_patterns(self.exclude_file, environment))
        return Patterns(exact, (*self.iexclude, *read_patterns(self.iexclude_file, environment)), "exclude")


class IncludeFlags(Flags):
    """The flags for files to include, without the others."""

    TITLE = "Include files"
    include: tuple[str, ...] = texts("-i", "--include", value="PATTERN", help="include only files that match PATTERN")
    include_file: tuple[str, ...] = texts("--include-file", value="FILE", help="read include patterns from FILE")
    iinclude: tuple[str, ...] = texts("--iinclude", value="PATTERN", help="like --include, but ignores case")
    iinclude_file: tuple[str, ...] = texts(
        "--iinclude-file", value="FILE", help="like --include-file, but ignores case"
    )

    @property
    def includes(self) -> bool:
        """Whether any of them is given."""
        return bool(self.include or self.include_file or self.iinclude or self.iinclude_file)

    def read_includes(self, environment: Mapping[str, str]) -> Patterns:
        """Return the patterns, including those in files; raise UsageError."""
        exact = (*self.include, *read_patterns(self.include_file, environment))
        return Patterns(exact, (*self.iinclude, *read_patterns(self.iinclude_file, environment)), "include")
