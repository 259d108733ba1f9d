"""pyrestic rebuild-index: the old name of repair index."""

import click

from pyrestic.cli.command import App, define
from pyrestic.cli.commands.repair import run_repair_index


@define("rebuild-index", "Rebuild the index (deprecated: use repair index).", any_arguments=True, hidden=True)
@click.option("--read-all-packs", is_flag=True, help="rebuild the index only from the packs")
def command(app: App, *, read_all_packs: bool) -> int | None:
    """Do what repair index does."""
    app.terminal.complain('Command "rebuild-index" is deprecated, Use "repair index" instead')
    return run_repair_index(app, read_all_packs=read_all_packs)
