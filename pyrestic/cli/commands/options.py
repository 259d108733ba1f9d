"""pyrestic options: the options for -o."""

from pyrestic.backend.location import extended_options
from pyrestic.cli.command import App, define


@define("options", "Print all extended options.", prints=True, any_arguments=True, uses_repository=False)
def command(app: App) -> None:
    """Print names and descriptions."""
    options = extended_options()
    if app.settings.json:
        app.terminal.print_json([{"name": name, "text": text} for name, text in sorted(options.items())])
        return
    app.terminal.print("All Extended Options:")
    width = max(map(len, options))
    for name, text in sorted(options.items()):
        app.terminal.print(f"  {name:<{width}}  {text}")
