"""pyrestic version."""

import platform

from pyrestic import __version__
from pyrestic.cli.command import App, define


@define("version", "Print the version.", prints=True, any_arguments=True, uses_repository=False)
def command(app: App) -> None:
    """Print the version."""
    system = platform.system().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    python = platform.python_version()
    if app.settings.json:
        app.terminal.print_json(
            {
                "message_type": "version",
                "version": __version__,
                "go_version": f"python{python}",
                "go_os": system,
                "go_arch": machine,
            }
        )
    else:
        app.terminal.print(f"pyrestic {__version__} on Python {python} on {system}/{machine}")
