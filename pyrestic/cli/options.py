"""Global flags, before or after a command's name, and their environment variables."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from pyrestic.backend.http_settings import DEFAULT_STALL_SECONDS
from pyrestic.cli.arguments import parse_uint32, split_list
from pyrestic.cli.features import parse_features
from pyrestic.cli.flags import DURATION, INTEGER, NATURAL, Parsed
from pyrestic.errors import UsageError
from pyrestic.golang import parse_integer

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Flag:
    """A global flag: its click parameters, and the variable with its default."""

    names: tuple[str, ...]
    help: str
    environment: str = ""
    kind: str = "text"
    """text, switch, count or list."""
    type: Parsed | None = None
    """The type of a text."""

    @property
    def name(self) -> str:
        """Its name as a keyword argument."""
        return self.names[-1].lstrip("-").replace("-", "_")


def _compression(text: str) -> str:
    if text not in ("auto", "off", "fastest", "better", "max"):
        raise UsageError(f'invalid compression mode "{text}", must be one of (auto|off|fastest|better|max)')
    return text


def _percent(text: str) -> int:
    number = parse_integer(text, signed=False)
    if not 1 <= number <= 100:
        raise UsageError("must be a number from 1 to 100")
    return number


PERCENT = Parsed("percent", _percent)
FLAGS = (
    Flag(("--cacert",), "file with additional trusted root certificates", "RESTIC_CACERT", "list"),
    Flag(("--cache-dir",), "cache folder", "RESTIC_CACHE_DIR"),
    Flag(("--cleanup-cache",), "remove old cache folders", kind="switch"),
    Flag(
        ("--compression",),
        "auto, off, fastest, better or max (repository version 2)",
        "RESTIC_COMPRESSION",
        type=Parsed("mode", _compression),
    ),
    Flag(("--http-user-agent",), "value of the User-Agent header", "RESTIC_HTTP_USER_AGENT"),
    Flag(("--insecure-no-password",), "use an empty password", kind="switch"),
    Flag(("--insecure-tls",), "do not verify certificates", kind="switch"),
    Flag(("--json",), "print JSON if the command supports it", kind="switch"),
    Flag(("--key-hint",), "ID of the key to try first", "RESTIC_KEY_HINT"),
    Flag(("--limit-download",), "limit downloads to KiB/s", type=INTEGER),
    Flag(("--limit-upload",), "limit uploads to KiB/s", type=INTEGER),
    Flag(("--max-cpu",), "limit in percent of one processor, at the lowest priority", type=PERCENT),
    Flag(("--no-cache",), "do not use a cache", kind="switch"),
    Flag(("--no-extra-verify",), "do not verify data before storing it", kind="switch"),
    Flag(("--no-lock",), "do not lock the repository, for commands that only read", kind="switch"),
    Flag(("-o", "--option"), "option of a backend, key=value", kind="list"),
    Flag(("--pack-size",), "target length of packs in MiB", "RESTIC_PACK_SIZE", type=NATURAL),
    Flag(("--password-command",), "command that prints the password", "RESTIC_PASSWORD_COMMAND"),
    Flag(("-p", "--password-file"), "file with the password", "RESTIC_PASSWORD_FILE"),
    Flag(("-q", "--quiet"), "print only errors", kind="switch"),
    Flag(("-r", "--repo"), "location of the repository", "RESTIC_REPOSITORY"),
    Flag(("--repository-file",), "file with the location of the repository", "RESTIC_REPOSITORY_FILE"),
    Flag(("--retry-lock",), "wait for a locked repository, such as 5m", type=DURATION),
    Flag(("--stuck-request-timeout",), "abort a request after this time without progress", type=DURATION),
    Flag(("--tls-client-cert",), "file with a client certificate and its key", "RESTIC_TLS_CLIENT_CERT"),
    Flag(("-v", "--verbose"), "print more; may be given twice", kind="count"),
)


@dataclass(frozen=True, slots=True)
class PasswordNames:
    """The flags and variables for a password, as messages name them."""

    sources: tuple[str, ...] = ("--password-file", "--password-command", "RESTIC_PASSWORD")
    allow_empty: str = "--insecure-no-password"
    """The flag for an empty password, "" if there is none."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the global flags and the environment. Never contains a password."""

    environment: Mapping[str, str] = field(repr=False)
    repo: str = ""
    repository_file: str = ""
    password_file: str = ""
    password_command: str = field(default="", repr=False)
    insecure_no_password: bool = False
    password_names: PasswordNames = PasswordNames()
    key_hint: str = ""
    cache_dir: str = ""
    no_cache: bool = False
    cleanup_cache: bool = False
    compression: str = "auto"
    pack_size: int = 0
    no_extra_verify: bool = False
    no_lock: bool = False
    retry_lock_seconds: float = 0.0
    stuck_request_timeout_seconds: float = DEFAULT_STALL_SECONDS
    limit_download: int = 0
    limit_upload: int = 0
    max_cpu: int = 0
    """Percent of one processor, 0 for no limit."""
    options: Mapping[str, str] = field(default_factory=dict)
    cacert: tuple[str, ...] = ()
    insecure_tls: bool = False
    tls_client_cert: str = ""
    http_user_agent: str = ""
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    features: frozenset[str] = frozenset()
    """Names of the enabled feature flags."""

    @property
    def verbosity(self) -> int:
        """0 with --quiet, 1 by default, 2 and 3 with -v and -vv."""
        return 0 if self.quiet else 1 + min(self.verbose, 2)


def _click_option(flag: Flag, *, hidden: bool) -> Callable[[F], F]:
    settings: dict[str, Any] = {"help": flag.help, "hidden": hidden, "default": None}
    if flag.type is not None:
        settings["type"] = flag.type
    if flag.kind == "switch":
        settings |= {"is_flag": True, "flag_value": True, "type": bool}
    elif flag.kind == "count":
        settings |= {"count": True, "default": 0}
    elif flag.kind == "list":
        settings["multiple"] = True
    return click.option(*flag.names, "global_" + flag.name, **settings)


def global_flags(*, hidden: bool) -> Callable[[F], F]:
    """Return a decorator that adds all global flags to a click command; their values never reach its function."""

    def decorate(command: F) -> F:
        for flag in reversed(FLAGS):
            command = _click_option(flag, hidden=hidden)(command)
        return command

    return decorate


def take_global(params: dict[str, Any], values: dict[str, Any]) -> None:
    """Move the given global flags from click's parameters to values; later ones win, lists are concatenated."""
    for flag in FLAGS:
        value = params.pop("global_" + flag.name, None)
        if value is None or value == () or (flag.kind == "count" and value == 0):
            continue
        if flag.kind == "list":
            values[flag.name] = (*values.get(flag.name, ()), *value)
        elif flag.kind == "count":
            values[flag.name] = values.get(flag.name, 0) + value
        else:
            values[flag.name] = value


def make_settings(values: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from the given flags, with defaults from the environment; raise UsageError."""
    environment = os.environ if environment is None else environment

    def get(name: str) -> Any:  # noqa: ANN401 - the kind of a flag decides
        flag = next(flag for flag in FLAGS if flag.name == name)
        if name in values:
            return values[name]
        return environment.get(flag.environment, "") if flag.environment else ""

    if values.get("quiet") and values.get("verbose"):
        raise UsageError("--quiet and --verbose cannot be specified at the same time")
    certificates = values["cacert"] if "cacert" in values else [environment.get("RESTIC_CACERT", "")]
    return Settings(
        environment=environment,
        repo=get("repo"),
        repository_file=get("repository_file"),
        password_file=get("password_file"),
        password_command=get("password_command"),
        insecure_no_password=bool(values.get("insecure_no_password")),
        key_hint=get("key_hint"),
        cache_dir=get("cache_dir"),
        no_cache=bool(values.get("no_cache")),
        cleanup_cache=bool(values.get("cleanup_cache")),
        compression=from_environment("RESTIC_COMPRESSION", get("compression"), _compression) or "auto",
        pack_size=from_environment("RESTIC_PACK_SIZE", get("pack_size"), parse_uint32) or 0,
        no_extra_verify=bool(values.get("no_extra_verify")),
        no_lock=bool(values.get("no_lock")),
        retry_lock_seconds=values.get("retry_lock", 0.0),
        stuck_request_timeout_seconds=values.get("stuck_request_timeout", DEFAULT_STALL_SECONDS),
        limit_download=max(0, values.get("limit_download", 0)),
        max_cpu=values.get("max_cpu", 0),
        limit_upload=max(0, values.get("limit_upload", 0)),
        options=_extended(split_list(values.get("option", ()))),
        cacert=tuple(name for name in split_list(certificates) if name),
        insecure_tls=bool(values.get("insecure_tls")),
        tls_client_cert=get("tls_client_cert"),
        http_user_agent=get("http_user_agent"),
        json=bool(values.get("json")),
        quiet=bool(values.get("quiet")),
        verbose=int(values.get("verbose", 0)),
        features=parse_features(environment.get("RESTIC_FEATURES", "")),
    )


def from_environment(variable: str, value: T | str, parse: Callable[[str], T]) -> T | None:
    """Return the value of a flag, or the parsed value of its variable, None without either; raise UsageError."""
    if not isinstance(value, str) or not value:
        return None if isinstance(value, str) else value
    try:
        return parse(value)
    except UsageError as error:
        raise UsageError(f'invalid value for {variable} "{value}": {error}') from None


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
