"""pyrestic compile-code: compiles machine code before the first run, for installers."""

from pyrestic.backend.private_folder import distrust
from pyrestic.cli.command import App, define
from pyrestic.cli.local_folders import code_folder
from pyrestic.cli.session import found_engines


@define(
    "compile-code",
    "Compile the accelerated code and cache it (takes some seconds).",
    hidden=True,
    uses_repository=False,
)
def command(app: App) -> None:
    """Compile and store all missing code; without a folder for it, or a compiler, do nothing."""
    folder = code_folder(app.settings)
    error = distrust(folder) if folder else None
    if error is not None:
        app.terminal.note(str(error), 2)
    elif folder and not app.settings.no_cache:
        with found_engines(app.settings) as engines:
            engines.compile_all()
