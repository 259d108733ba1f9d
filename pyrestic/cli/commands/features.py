"""pyrestic features: the feature flags."""

from pyrestic.cli.command import App, define
from pyrestic.cli.features import FEATURES
from pyrestic.cli.table import format_table


@define("features", "Print all feature flags.", prints=True, uses_repository=False)
def command(app: App) -> None:
    """Print names, states and meanings."""
    if app.settings.json:
        app.terminal.print_json(
            [{"name": one.name, "type": one.state, "default": one.default, "description": one.text} for one in FEATURES]
        )
        return
    app.terminal.print("All Feature Flags:")
    rows = [[one.name, one.state, "true" if one.default else "false", one.text] for one in FEATURES]
    for line in format_table(["Name", "Type", "Default", "Description"], rows):
        app.terminal.print(line)
