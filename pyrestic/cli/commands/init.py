"""pyrestic init: make a repository."""

import time

import click

from pyrestic.cli import password as passwords
from pyrestic.cli.command import App, define
from pyrestic.cli.identity import current_identity
from pyrestic.cli.options import Settings
from pyrestic.cli.session import find_location, make_backend, open_repository, repository_options
from pyrestic.errors import UsageError
from pyrestic.operations.backup import format_local_time
from pyrestic.repository.repository import Repository

_VERSIONS = {"stable": 2, "latest": 2, "": 2, "1": 1, "2": 2}
_SOURCE = (
    ("--from-repo", "--repo2", "RESTIC_FROM_REPOSITORY"),
    ("--from-repository-file", "--repository-file2", "RESTIC_FROM_REPOSITORY_FILE"),
    ("--from-password-file", "--password-file2", "RESTIC_FROM_PASSWORD_FILE"),
    ("--from-password-command", "--password-command2", "RESTIC_FROM_PASSWORD_COMMAND"),
    ("--from-key-hint", "--key-hint2", "RESTIC_FROM_KEY_HINT"),
)


@define("init", "Create a repository.")
@click.option("--repository-version", default="stable", help="1, 2, latest or stable")
@click.option("--copy-chunker-params", is_flag=True, help="cut files as the repository of --from-repo does")
@click.option("--from-insecure-no-password", is_flag=True, help="the other repository has an empty password")
@click.option("--from-repo", "--repo2", "from_repo", default="", help="the other repository")
@click.option("--from-repository-file", "--repository-file2", "from_repository_file", default="", help="file naming it")
@click.option("--from-password-file", "--password-file2", "from_password_file", default="", help="file, its password")
@click.option("--from-password-command", "--password-command2", "from_password_command", default="", help="command")
@click.option("--from-key-hint", "--key-hint2", "from_key_hint", default="", help="key to try first")
def command(app: App, repository_version: str, *, copy_chunker_params: bool, **source: str | bool) -> None:
    """Make a repository at the location the settings name."""
    settings, terminal = app.settings, app.terminal
    if repository_version not in _VERSIONS:
        raise UsageError(f"invalid repository version {repository_version!r}: it is 1, 2, latest or stable")
    location = find_location(settings)
    if not copy_chunker_params and any(source.values()):
        raise UsageError("the secondary repository is only needed with --copy-chunker-params")
    polynomial = _polynomial_of(app, source) if copy_chunker_params else None
    given = passwords.find_password(settings)
    if given is None:
        given = passwords.ask_twice("enter password for new repository: ", "enter password again: ")
    backend = make_backend(settings, terminal)
    who = current_identity()
    repository = Repository.create(
        backend,
        given,
        version=_VERSIONS[repository_version],
        polynomial=polynomial,
        hostname=who.hostname,
        username=who.username,
        created=format_local_time(time.time_ns()),
        options=repository_options(settings),
    )
    repository.close()
    if settings.json:
        terminal.print_json({"message_type": "initialized", "id": repository.config.id, "repository": str(location)})
        return
    terminal.note(f"created restic repository {repository.config.id[:10]} at {location}")
    terminal.note("")
    terminal.note("Please note that knowledge of your password is required to access")
    terminal.note("the repository. Losing your password means that your data is")
    terminal.note("irrecoverably lost.")


def _polynomial_of(app: App, source: dict[str, str | bool]) -> int:
    """Return the chunker polynomial of the repository that the --from flags and variables name."""
    environment = app.settings.environment
    names = [flag.removeprefix("--").replace("-", "_") for flag, _, _ in _SOURCE]
    repo, repository_file, password_file, password_command, key_hint = (
        str(source[name] or environment.get(variable, ""))
        for name, (_, _, variable) in zip(names, _SOURCE, strict=True)
    )
    other = Settings(
        environment={**environment, "RESTIC_PASSWORD": environment.get("RESTIC_FROM_PASSWORD", "")},
        repo=repo,
        repository_file=repository_file,
        password_file=password_file,
        password_command=password_command,
        key_hint=key_hint,
        insecure_no_password=bool(source["from_insecure_no_password"]),
        options=app.settings.options,
        no_cache=True,
    )
    backend = make_backend(other, app.terminal)
    repository = open_repository(other, app.terminal, backend)
    repository.close()
    return repository.config.chunker_polynomial
