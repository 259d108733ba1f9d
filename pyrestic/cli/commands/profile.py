"""pyrestic profile: list, show and check profiles."""

import os
from collections.abc import Iterator

import click

from pyrestic.backend.location import strip_password
from pyrestic.cli.command import App, Group, define
from pyrestic.cli.flag_fields import Flags, arguments
from pyrestic.cli.profile_flags import make_flag_check
from pyrestic.cli.table import format_table
from pyrestic.errors import PyresticError, UsageError
from pyrestic.profiles.load import load_profiles
from pyrestic.profiles.profile import Profile, Profiles
from pyrestic.profiles.secrets import PASSWORD, read_secret
from pyrestic.profiles.show import describe_rhythm, list_restic_lines, list_settings


class ProfileNameFlags(Flags):
    """The name of a profile."""

    name: tuple[str, ...] = arguments("NAME")


@define("list", "List profiles.", prints=True, uses_repository=False)
def profile_list(app: App) -> None:
    """Print a row for each profile."""
    profiles = _load(app)
    if app.settings.json:
        app.terminal.print_json([_document(profile) for profile in profiles.by_name.values()])
        return
    rows = [
        [
            profile.name + ("*" if profile.is_default else ""),
            strip_password(profile.repo),
            ", ".join(profile.tasks["backup"].source) if "backup" in profile.tasks else "",
            describe_rhythm(profile.tasks["backup"]) if "backup" in profile.tasks else "",
        ]
        for profile in profiles.by_name.values()
    ]
    columns = ["Profile", "Repository", "Sources", "Backup"]
    footer = [f"{len(rows)} profiles in {', '.join(profiles.files) or 'no files'}"]
    app.terminal.print(*format_table(columns, rows, footer, quoted=app.terminal.is_terminal))


@define("show", "Show the values of a profile.", ProfileNameFlags, prints=True, uses_repository=False)
def profile_show(app: App, flags: ProfileNameFlags) -> None:
    """Print each value and its origin."""
    if len(flags.name) > 1:
        raise UsageError("profile show expects one name")
    profiles = _load(app)
    profile = profiles.find(flags.name[0]) if flags.name else profiles.default
    if profile is None:
        raise UsageError("there is no default profile", hint="Name one of those that `profile list` shows.")
    settings, lines = list_settings(profile), list_restic_lines(profile)
    if app.settings.json:
        values = [one._asdict() for one in settings]
        app.terminal.print_json({"message_type": "profile", "name": profile.name, "values": values, "restic": lines})
        return
    rows = [[one.key, one.value, one.origin] for one in settings]
    app.terminal.print(*format_table(["Key", "Value", "From"], rows, quoted=app.terminal.is_terminal))
    app.terminal.print("", "The same with restic:", *lines)


@define("check", "Check all profiles, their flags and their secrets.", prints=True, uses_repository=False)
def profile_check(app: App) -> int:
    """Print the problems; 1 if there is one."""
    check = make_flag_check(click.get_current_context().find_root())
    profiles = load_profiles(app.settings.environment, app.settings.config, check_flag=check)
    problems = [line for profile in profiles.by_name.values() for line in _find_problems(app, profile)]
    if app.settings.json:
        app.terminal.print_json({"message_type": "profile_check", "files": list(profiles.files), "problems": problems})
    else:
        app.terminal.print(*problems, f"{len(profiles.by_name)} profiles, {len(problems)} problems")
    return 1 if problems else 0


def _find_problems(app: App, profile: Profile) -> Iterator[str]:
    secrets = {PASSWORD: profile.password, **profile.env}
    for kind, secret in secrets.items():
        if secret is None or isinstance(secret, str):
            continue
        try:
            read_secret(secret, profile.name, kind, app.settings.environment)
        except PyresticError as error:
            yield str(error)
    backup = profile.tasks.get("backup")
    for source in backup.source if backup else ():
        if not os.path.lexists(source):
            yield f"profile {profile.name}, backup: {source} does not exist"


def _load(app: App) -> Profiles:
    return load_profiles(app.settings.environment, app.settings.config)


def _document(profile: Profile) -> dict[str, object]:
    backup = profile.tasks.get("backup")
    return {
        "name": profile.name,
        "default": profile.is_default,
        "repository": strip_password(profile.repo),
        "sources": list(backup.source) if backup else [],
        "tasks": [{"name": task.name, "rhythm": describe_rhythm(task)} for task in profile.tasks.values()],
    }


command = Group("profile", "List, show and check profiles.", profile_list, profile_show, profile_check)
