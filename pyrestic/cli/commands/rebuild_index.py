"""pyrestic rebuild-index: the old name of repair index."""

from pyrestic.cli.command import App, define
from pyrestic.cli.commands.repair import RepairIndexFlags, run_repair_index


@define(
    "rebuild-index",
    "Rebuild the index (deprecated: use repair index).",
    RepairIndexFlags,
    any_arguments=True,
    hidden=True,
)
def command(app: App, flags: RepairIndexFlags) -> int | None:
    """Do what repair index does."""
    app.terminal.complain('Command "rebuild-index" is deprecated, Use "repair index" instead')
    return run_repair_index(app, flags)
