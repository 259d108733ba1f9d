"""pyrestic init: create a repository."""

import time

from pyrestic.cli import password as passwords
from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import switch, text
from pyrestic.cli.secondary import SecondaryFlags, secondary_settings
from pyrestic.cli.session import (
    find_location,
    found_engines,
    make_backend,
    open_bill,
    open_repository,
    repository_options,
)
from pyrestic.errors import BackendError, UsageError
from pyrestic.localfs.identity import current_identity
from pyrestic.localfs.metadata import format_local_time
from pyrestic.repository.repository import Repository

_VERSIONS = {"stable": 2, "latest": 2, "": 2}
_ADVICE = """
Please note that knowledge of your password is required to access
the repository. Losing your password means that your data is
irrecoverably lost."""


class InitFlags(SecondaryFlags):
    """The flags of init."""

    copy_chunker_params: bool = switch(
        "--copy-chunker-params", help="use the chunker parameters of the repository in --from-repo"
    )
    repository_version: str = text(
        "--repository-version", value="VERSION", default="stable", help="1, 2, latest or stable"
    )


@define("init", "Create a repository.", InitFlags)
def command(app: App, flags: InitFlags) -> None:
    """Create a repository at the location in the settings."""
    settings, terminal = app.settings, app.terminal
    version = _parse_version(flags.repository_version)
    polynomial = None
    if flags.copy_chunker_params:
        polynomial = _polynomial_of(app, flags)
    elif flags.is_named:
        raise UsageError("Secondary repository must only be specified when copying the chunker parameters")
    location = find_location(settings)
    repository = _create(app, version, polynomial)
    if settings.json:
        terminal.print_json({"message_type": "initialized", "id": repository.config.id, "repository": str(location)})
        return
    terminal.note(f"created restic repository {repository.config.id[:10]} at {location}")
    if polynomial is not None:
        terminal.note(" with chunker parameters copied from secondary repository")
    for line in _ADVICE.split("\n"):
        terminal.note(line)


def _parse_version(text: str) -> int:
    if text in _VERSIONS:
        return _VERSIONS[text]
    if not (text.isascii() and text.isdigit()):
        raise UsageError("invalid repository version")
    if int(text) not in (1, 2):
        raise UsageError("only repository versions between 1 and 2 are allowed")
    return int(text)


def _create(app: App, version: int, polynomial: int | None) -> Repository:
    settings = app.settings
    password = passwords.find_password(settings)
    passwords.warn_of_other_writers(settings, app.terminal)
    if password is None:
        password = passwords.ask_twice(
            "enter password for new repository: ",
            "enter password again: ",
            settings.password_names,
            "new repository",
            settings.password_file,
        )
    who = current_identity()
    backend = make_backend(settings, app.terminal)
    bill = open_bill(settings, app.terminal, backend)
    try:
        repository = Repository.create(
            backend,
            password,
            version=version,
            polynomial=polynomial,
            hostname=who.hostname,
            username=who.username,
            created=format_local_time(time.time_ns()),
            options=repository_options(settings),
        )
    except (UsageError, BackendError) as error:
        message = f"create repository at {find_location(settings)} failed: {error}"
        raise type(error)(message, hint=error.hint) from error
    finally:
        if bill is not None:
            bill.close()
    repository.close()
    return repository


def _polynomial_of(app: App, flags: SecondaryFlags) -> int:
    """Return the chunker polynomial of the repository in the --from flags and variables."""
    other = secondary_settings(flags, app.settings)
    with found_engines(other) as engines:
        repository = open_repository(
            other, app.terminal, make_backend(other, app.terminal), engines, cache_base="", name="source repository"
        )
        repository.close()
    return repository.config.chunker_polynomial
