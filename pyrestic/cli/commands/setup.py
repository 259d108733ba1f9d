"""pyrestic setup: from nothing to a profile, a repository, a timer and a backup that was proven."""

from pyrestic.cli.command import App, define
from pyrestic.cli.commands.schedule import KIND
from pyrestic.cli.flag_fields import Flags, arguments, parsed, switch, text, texts
from pyrestic.errors import UsageError

_DEFAULT_NAME = "home"


class _ChosenFlags(Flags):
    """What the profile will contain; --repo and --password-file are global flags."""

    TITLE = "Profile"
    every: str = text("--every", value="DURATION", default="1h", help="time between two backups (1h)")
    exclude: tuple[str, ...] = texts("--exclude", value="PATTERN", help="exclude these files instead of known caches")
    keep_all: bool = switch("--keep-all", help="never remove snapshots")
    keyring: bool = switch("--keyring", help="store secrets in the key ring instead of files")
    source: tuple[str, ...] = texts("--source", value="PATH", help="file or folder to back up (the home folder)")


class SetupFlags(_ChosenFlags):
    """The flags of setup."""

    recovery_sheet: str = text("--recovery-sheet", value="FILE", help="where to write the page with the recovery sheet")
    remove: bool = switch("--remove", help="remove the profile and the timer, but no backup")
    kind: str | None = parsed("--with", type=KIND, help="systemd or cron; systemd if it runs for this user")
    yes: bool = switch("-y", "--yes", help="ask nothing")
    name: tuple[str, ...] = arguments("NAME")


@define("setup", "Set up a profile: repository, password, timer, first backup.", SetupFlags, uses_repository=False)
def command(app: App, flags: SetupFlags) -> None:
    """Set up a profile, or remove it."""
    if len(flags.name) > 1:
        raise UsageError("setup expects at most one name")
    if app.settings.config:
        raise UsageError("setup writes to the usual folder of profiles; --config has no effect on it")
    name = flags.name[0] if flags.name else _DEFAULT_NAME
    # Not at the top: help does not need it.
    from pyrestic.cli.setup_run import Setup, remove_setup

    if flags.remove:
        remove_setup(app, name)
    else:
        Setup(app, flags, name).run()
