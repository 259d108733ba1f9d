"""The second repository of init and copy: flags such as --from-repo, their variables, the older names of both."""

from dataclasses import replace
from typing import NamedTuple

from pyrestic.cli.flag_fields import Flags, switch, text
from pyrestic.cli.options import PasswordNames, Settings
from pyrestic.errors import UsageError


class _Source(NamedTuple):
    """The second repository, by one generation of flags."""

    repo: str
    repository_file: str
    password_file: str
    password_command: str
    key_hint: str

    @property
    def is_named(self) -> bool:
        return bool(self.repo or self.repository_file)


class SecondaryFlags(Flags):
    """The flags of a second repository."""

    TITLE = "Source repository"
    from_repo: str = text(
        "--from-repo", value="REPOSITORY", help="the source repository", variable="RESTIC_FROM_REPOSITORY"
    )
    from_repository_file: str = text(
        "--from-repository-file",
        value="FILE",
        help="file with the location of the source repository",
        variable="RESTIC_FROM_REPOSITORY_FILE",
    )
    from_password_file: str = text(
        "--from-password-file", value="FILE", help="file with its password", variable="RESTIC_FROM_PASSWORD_FILE"
    )
    from_password_command: str = text(
        "--from-password-command",
        value="COMMAND",
        help="command that prints its password",
        variable="RESTIC_FROM_PASSWORD_COMMAND",
    )
    from_key_hint: str = text(
        "--from-key-hint", value="ID", help="ID of the key to try first", variable="RESTIC_FROM_KEY_HINT"
    )
    from_insecure_no_password: bool = switch(
        "--from-insecure-no-password", help="the source repository has an empty password"
    )
    repo2: str = text("--repo2", variable="RESTIC_REPOSITORY2", advice="use --repo or --from-repo instead")
    repository_file2: str = text(
        "--repository-file2",
        variable="RESTIC_REPOSITORY_FILE2",
        advice="use --repository-file or --from-repository-file instead",
    )
    password_file2: str = text("--password-file2", variable="RESTIC_PASSWORD_FILE2", hidden=True)
    password_command2: str = text("--password-command2", variable="RESTIC_PASSWORD_COMMAND2", hidden=True)
    key_hint2: str = text("--key-hint2", variable="RESTIC_KEY_HINT2", hidden=True)

    @property
    def new(self) -> _Source:
        """The repository by the newer names."""
        return _Source(
            self.from_repo,
            self.from_repository_file,
            self.from_password_file,
            self.from_password_command,
            self.from_key_hint,
        )

    @property
    def old(self) -> _Source:
        """The repository by the older names."""
        return _Source(self.repo2, self.repository_file2, self.password_file2, self.password_command2, self.key_hint2)

    @property
    def is_named(self) -> bool:
        """Whether a second repository is named."""
        return self.new.is_named or self.old.is_named

    @property
    def is_source(self) -> bool:
        """Whether the newer names are used, with which copy reads from the second repository instead of the first."""
        return any(self.new) or self.from_insecure_no_password


_NEW_PASSWORD = PasswordNames(
    ("--from-password-file", "--from-password-command", "RESTIC_FROM_PASSWORD"), "--from-insecure-no-password"
)
_OLD_PASSWORD = PasswordNames(("--password-file2", "--password-command2", "RESTIC_PASSWORD2"), "")


def secondary_settings(flags: SecondaryFlags, settings: Settings) -> Settings:
    """Return the settings of the second repository; raise UsageError if it is missing or ambiguous."""
    if not flags.is_named:
        raise UsageError("Please specify a source repository location (--from-repo or --from-repository-file)")
    is_new = flags.is_source
    if is_new and any(flags.old):
        raise UsageError("Option groups repo2 and from-repo are mutually exclusive, please specify only one")
    chosen = flags.new if is_new else flags.old
    if chosen.repo and chosen.repository_file:
        both = "--from-repo and --from-repository-file" if is_new else "--repo2 and --repository-file2"
        raise UsageError(f"Options {both} are mutually exclusive, please specify only one")
    variable = "RESTIC_FROM_PASSWORD" if is_new else "RESTIC_PASSWORD2"
    return replace(
        settings,
        environment={**settings.environment, "RESTIC_PASSWORD": settings.environment.get(variable, "")},
        insecure_no_password=flags.from_insecure_no_password,
        password_names=_NEW_PASSWORD if is_new else _OLD_PASSWORD,
        repo=chosen.repo,
        repository_file=chosen.repository_file,
        password_file=chosen.password_file,
        password_command=chosen.password_command,
        key_hint=chosen.key_hint,
    )
