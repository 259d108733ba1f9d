"""Global flags, before or after a command's name, and their environment variables."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from pyrestic.backend.http_settings import DEFAULT_STALL_SECONDS
from pyrestic.cli.arguments import parse_amount, parse_uint32, split_list
from pyrestic.cli.features import parse_features
from pyrestic.cli.flag_fields import Flags, collect, count, make_parameters, parsed, switch, text, texts
from pyrestic.cli.flags import DURATION, GLOBAL_TITLE, INTEGER, NATURAL, Parsed
from pyrestic.errors import UsageError
from pyrestic.golang import parse_integer


def _compression(text: str) -> str:
    if text not in ("auto", "off", "fastest", "better", "max"):
        raise UsageError(f'invalid compression mode "{text}", must be one of (auto|off|fastest|better|max)')
    return text


def _percent(text: str) -> int:
    number = parse_integer(text, signed=False)
    if not 1 <= number <= 100:
        raise UsageError("must be a number from 1 to 100")
    return number


_AMOUNT = Parsed("amount", parse_amount)
_COMPRESSION = Parsed("mode", _compression)
_PACK_SIZE = Parsed("number", NATURAL.parse, parse_variable=parse_uint32)
_PERCENT = Parsed("percent", _percent)


@dataclass(frozen=True, slots=True)
class PasswordNames:
    """The flags and variables for a password, as messages name them."""

    sources: tuple[str, ...] = ("--password-file", "--password-command", "RESTIC_PASSWORD")
    allow_empty: str = "--insecure-no-password"
    """The flag for an empty password, "" if there is none."""


@dataclass(frozen=True, eq=False, repr=False)
class Settings(Flags):
    """The global flags, and what else applies to all commands; without repr, as the environment may have a password."""

    TITLE = GLOBAL_TITLE
    budget_month: float | None = parsed(
        "--budget-month", type=_AMOUNT, help="ask B2 for no more than AMOUNT per month, such as 2 USD"
    )
    cacert: tuple[str, ...] = texts(
        "--cacert", value="FILE", help="file with additional trusted root certificates", variable="RESTIC_CACERT"
    )
    cache_dir: str = text("--cache-dir", value="FOLDER", help="cache folder", variable="RESTIC_CACHE_DIR")
    config: str = text("--config", value="FILE", help="file of profiles to read instead of the usual ones")
    cleanup_cache: bool = switch("--cleanup-cache", help="remove old cache folders")
    compression: str = parsed(
        "--compression",
        type=_COMPRESSION,
        default="auto",
        help="auto, off, fastest, better or max; for repository version 2",
        variable="RESTIC_COMPRESSION",
    )
    http_user_agent: str = text(
        "--http-user-agent", help="value of the User-Agent header", variable="RESTIC_HTTP_USER_AGENT"
    )
    insecure_no_password: bool = switch("--insecure-no-password", help="use an empty password")
    insecure_tls: bool = switch("--insecure-tls", help="do not verify certificates")
    json: bool = switch("--json", help="print JSON if the command supports it")
    key_hint: str = text("--key-hint", value="ID", help="ID of the key to try first", variable="RESTIC_KEY_HINT")
    limit_download: int = parsed("--limit-download", type=INTEGER, default=0, help="limit downloads to KiB/s")
    limit_upload: int = parsed("--limit-upload", type=INTEGER, default=0, help="limit uploads to KiB/s")
    max_cpu: int = parsed(
        "--max-cpu",
        type=_PERCENT,
        default=0,
        help="limit in percent of one processor, at the lowest priority",
    )
    no_cache: bool = switch("--no-cache", help="do not use a cache")
    no_extra_verify: bool = switch("--no-extra-verify", help="do not verify data before storing it")
    no_lock: bool = switch("--no-lock", help="do not lock the repository, for commands that only read")
    option: tuple[str, ...] = texts("-o", "--option", value="KEY=VALUE", help="option of a backend, key=value")
    pack_size: int = parsed(
        "--pack-size",
        type=_PACK_SIZE,
        default=0,
        help="target length of packs in MiB",
        variable="RESTIC_PACK_SIZE",
    )
    password_command: str = text(
        "--password-command",
        value="COMMAND",
        help="command that prints the password",
        variable="RESTIC_PASSWORD_COMMAND",
    )
    password_file: str = text(
        "-p", "--password-file", value="FILE", help="file with the password", variable="RESTIC_PASSWORD_FILE"
    )
    profile: str = text("-P", "--profile", value="NAME", help="use the repository and the flags of this profile")
    quiet: bool = switch("-q", "--quiet", help="print only errors")
    repo: str = text(
        "-r", "--repo", value="REPOSITORY", help="location of the repository", variable="RESTIC_REPOSITORY"
    )
    repository_file: str = text(
        "--repository-file",
        value="FILE",
        help="file with the location of the repository",
        variable="RESTIC_REPOSITORY_FILE",
    )
    retry_lock_seconds: float = parsed(
        "--retry-lock", type=DURATION, default=0.0, help="wait for a locked repository, such as 5m"
    )
    stuck_request_timeout_seconds: float = parsed(
        "--stuck-request-timeout",
        type=DURATION,
        default=DEFAULT_STALL_SECONDS,
        help="abort a request after this time without progress",
    )
    tls_client_cert: str = text(
        "--tls-client-cert",
        value="FILE",
        help="file with a client certificate and its key",
        variable="RESTIC_TLS_CLIENT_CERT",
    )
    verbose: int = count("-v", "--verbose", help="print more; may be given twice")

    environment: Mapping[str, str] = field(default_factory=dict)
    password_names: PasswordNames = PasswordNames()
    options: Mapping[str, str] = field(default_factory=dict)
    """The items of --option."""
    features: frozenset[str] = frozenset()
    """Names of the enabled feature flags."""

    @property
    def verbosity(self) -> int:
        """0 with --quiet, 1 by default, 2 and 3 with -v and -vv."""
        return 0 if self.quiet else 1 + min(self.verbose, 2)


GLOBAL_PARAMETERS = make_parameters(Settings)
"""The global flags, which every command has."""


def make_settings(values: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from click's values, with defaults from the environment; raise UsageError."""
    environment = os.environ if environment is None else environment
    if values.get("quiet") and values.get("verbose"):
        raise UsageError("--quiet and --verbose cannot be specified at the same time")
    given = collect(Settings, values, environment)
    return replace(
        given,
        environment=environment,
        limit_download=max(0, given.limit_download),
        limit_upload=max(0, given.limit_upload),
        options=_extended(split_list(given.option)),
        cacert=tuple(name for name in split_list(given.cacert) if name),
        features=parse_features(environment.get("RESTIC_FEATURES", "")),
    )


def needs_profile(words: Sequence[str]) -> bool:
    """Tell whether a command line in click's syntax names a profile, or neither it nor a variable a repository."""
    names = {word.partition("=")[0] for word in takewhile(lambda word: word != "--", words)}
    if "--profile" in names:
        return True
    if names & {"--repo", "--repository-file"}:
        return False
    # An empty variable is a mistake in a script, which must not forget snapshots of another repository.
    return "--config" in names or not {"RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE"} & os.environ.keys()


def _extended(items: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in items:
        key, _, value = item.partition("=")
        key = key.strip().lower()
        if not key:
            raise UsageError("empty key is not a valid option")
        if options.get(key, value.strip()) != value.strip():
            raise UsageError(f'key "{key}" present more than once')
        options[key] = value.strip()
    return options
