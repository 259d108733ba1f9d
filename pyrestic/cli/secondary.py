"""The second repository of init and copy: flags such as --from-repo, their variables, the older names of both."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import click

from pyrestic.cli.flags import OldOption
from pyrestic.cli.options import PasswordNames, Settings
from pyrestic.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class _Names(NamedTuple):
    """Names for the second repository: templates of flags and variables, with {} for the setting."""

    flag: str
    variable: str
    allow_empty: str
    """The flag for an empty password, "" if there is none."""

    def passwords(self) -> PasswordNames:
        """Return the names of the sources of the password."""
        flags = ("--" + self.flag.format(name).replace("_", "-") for name in ("password_file", "password_command"))
        return PasswordNames((*flags, self.variable.format("PASSWORD")), self.allow_empty)


_NEW = _Names("from_{}", "RESTIC_FROM_{}", "--from-insecure-no-password")
_OLD = _Names("{}2", "RESTIC_{}2", "")
_VARIABLES = {
    "repo": "REPOSITORY",
    "repository_file": "REPOSITORY_FILE",
    "password_file": "PASSWORD_FILE",
    "password_command": "PASSWORD_COMMAND",
    "key_hint": "KEY_HINT",
}
_HELP = {
    "repo": "the source repository",
    "repository_file": "file with the location of the source repository",
    "password_file": "file with its password",
    "password_command": "command that prints its password",
    "key_hint": "ID of the key to try first",
}


def secondary_flags(command: F) -> F:
    """Add the flags of a second repository to a command."""
    for name, text in _HELP.items():
        flag = name.replace("_", "-")
        advice = f"use --{flag} or --from-{flag} instead"
        if name in ("repo", "repository_file"):
            command = click.option(f"--{flag}2", cls=OldOption, advice=advice)(command)
        else:
            command = click.option(f"--{flag}2", hidden=True)(command)
        variable = _NEW.variable.format(_VARIABLES[name])
        command = click.option(f"--from-{flag}", help=f"{text} (${variable})")(command)
    return click.option(
        "--from-insecure-no-password", is_flag=True, help="the source repository has an empty password"
    )(command)


def is_named(flags: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Tell whether a second repository is named."""
    return any(
        _collect(names, flags, environment)[place] for names in (_NEW, _OLD) for place in ("repo", "repository_file")
    )


def is_source(flags: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Tell whether the newer names are used, with which copy reads from the second repository instead of the first."""
    return any(_collect(_NEW, flags, environment).values()) or bool(flags["from_insecure_no_password"])


def secondary_settings(flags: Mapping[str, Any], settings: Settings) -> Settings:
    """Return the settings of the second repository; raise UsageError if it is missing or ambiguous."""
    environment = settings.environment
    if not is_named(flags, environment):
        raise UsageError("Please specify a source repository location (--from-repo or --from-repository-file)")
    new, old = _collect(_NEW, flags, environment), _collect(_OLD, flags, environment)
    is_new = is_source(flags, environment)
    if is_new and any(old.values()):
        raise UsageError("Option groups repo2 and from-repo are mutually exclusive, please specify only one")
    names, chosen = (_NEW, new) if is_new else (_OLD, old)
    if chosen["repo"] and chosen["repository_file"]:
        both = " and ".join("--" + names.flag.format(name).replace("_", "-") for name in ("repo", "repository_file"))
        raise UsageError(f"Options {both} are mutually exclusive, please specify only one")
    password = environment.get(names.variable.format("PASSWORD"), "")
    return replace(
        settings,
        environment={**environment, "RESTIC_PASSWORD": password},
        insecure_no_password=is_new and bool(flags["from_insecure_no_password"]),
        password_names=names.passwords(),
        **chosen,
    )


def _collect(names: _Names, flags: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of one group of flags, with defaults from the environment."""
    found = {}
    for name, variable in _VARIABLES.items():
        value = flags[names.flag.format(name)]
        found[name] = environment.get(names.variable.format(variable), "") if value is None else value
    return found
