"""The profile that a command line uses: the one of --profile, or the default one if nothing names a repository."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

from pyrestic.backend.location import parse_location
from pyrestic.cli.flags import make_plain
from pyrestic.cli.options import Settings
from pyrestic.cli.profile_flags import check_flag
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import UsageError
from pyrestic.profiles.load import load_profiles
from pyrestic.profiles.profile import Profile, Value
from pyrestic.profiles.secrets import read_variables
from pyrestic.profiles.words import flags_in, profile_words

_DROPPED = ("RESTIC_", "B2_")
_KEPT = re.compile("RESTIC_(FROM_.*|PROGRESS_FPS)")
"""Variables of the source repository of `copy`, and of the display."""
_PASSWORDS = frozenset({"password-file", "password-command", "insecure-no-password"})


class ProfileChoice(NamedTuple):
    """A profile, and the command line with its flags."""

    profile: Profile
    words: list[str]
    needs_password: bool
    implied: bool
    """Whether no flag names it."""

    def make_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of the command, with the profile's secrets; those of other repositories are dropped."""
        kept = {
            name: value for name, value in environment.items() if not name.startswith(_DROPPED) or _KEPT.fullmatch(name)
        }
        return kept | read_variables(self.profile, environment, password=self.needs_password)

    def tell(self, settings: Settings, terminal: Terminal) -> None:
        """Say on a terminal which profile is used if the person did not name it."""
        if self.implied and not (settings.quiet or settings.json) and sys.stderr is not None and sys.stderr.isatty():
            terminal.complain(f"using profile {self.profile.name} ({parse_location(self.profile.repo)})")


def choose_profile(command: click.Command, ctx: click.Context, words: Sequence[str]) -> ProfileChoice | None:
    """Return the profile for a command line in click's syntax, None for none; raise UsageError."""
    given = flags_in(words)
    name, file = (given.get(flag, [""])[-1] for flag in ("profile", "config"))
    root = ctx.find_root()
    if root.info_name == "restic":
        if "profile" in given or "config" in given:
            raise UsageError("profiles are not used if the program is called restic", hint="Call it pyrestic.")
        return None
    path = ctx.command_path.partition(" ")[2]

    def check(table: str, flag: str, value: Value) -> None:
        if not table:
            check_flag(root.command, root, flag, value)
        elif table == path:
            check_flag(command, ctx, flag, value)

    profiles = load_profiles(os.environ, file, check_flag=check)
    profile = profiles.find(name) if "profile" in given else profiles.default
    if profile is None:
        if "config" in given:
            raise UsageError(f"{file} has no default profile", hint="Choose one with --profile NAME.")
        return None
    arguments = words[words.index("--") + 1 :] if "--" in words else []
    known = {one.removeprefix("--") for option in command.get_params(ctx) for one in option.opts}
    added = profile_words(profile, path, given, arguments, known)
    flags, sources = (added[: added.index("--")], added[added.index("--") :]) if "--" in added else (added, [])
    return ProfileChoice(
        profile,
        [*make_plain(flags, command, ctx), *words, *sources],
        needs_password=_PASSWORDS.isdisjoint(given),
        implied="profile" not in given,
    )
