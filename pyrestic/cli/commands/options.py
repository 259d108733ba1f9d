"""pyrestic options: the options for -o."""

from pyrestic.backend.location import EXTENDED_OPTIONS
from pyrestic.cli.command import App, define


@define("options", "Print all extended options.", prints=True, any_arguments=True, uses_repository=False)
def command(app: App) -> None:
    """Print names and descriptions."""
    if app.settings.json:
        app.terminal.print_json([{"name": name, "text": text} for name, text in sorted(EXTENDED_OPTIONS.items())])
        return
    app.terminal.print("All Extended Options:")
    width = max(map(len, EXTENDED_OPTIONS))
    for name, text in sorted(EXTENDED_OPTIONS.items()):
        app.terminal.print(f"  {name:<{width}}  {text}")
