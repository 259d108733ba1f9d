"""The steps of `setup`. Each looks first whether it is done, so that a second run changes nothing.

Secrets and the profile are stored before the repository is created: a repository whose password was lost with a killed
process would be useless.
"""

import contextlib
import os
import secrets
import shlex
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from pyrestic.backend.location import parse_location
from pyrestic.cli import password as passwords
from pyrestic.cli.command import App
from pyrestic.cli.commands.setup import SetupFlags
from pyrestic.cli.options import Settings
from pyrestic.cli.questions import Questions
from pyrestic.cli.recovery_sheet import Sheet
from pyrestic.cli.session import opened
from pyrestic.cli.setup_place import make_absolute, try_place
from pyrestic.cli.setup_proof import prove_backup, run_command
from pyrestic.cli.setup_sources import choose_excludes
from pyrestic.cli.terminal import Terminal
from pyrestic.cli.timer import find_timers
from pyrestic.desktop import keyring
from pyrestic.desktop.bus import find_session_bus
from pyrestic.errors import PyresticError, UsageError
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.profiles.load import check_name, find_profile_folder, load_profiles
from pyrestic.profiles.new_profile import NewProfile, create_file, fold_home, quote, remove_unchanged
from pyrestic.profiles.profile import Profile, Secret
from pyrestic.profiles.secrets import PASSWORD, read_secret, read_variables
from pyrestic.profiles.times import parse_span
from pyrestic.repository.locking import LockMode

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP_LENGTH = 6, 5
_B2_KEY = "B2_ACCOUNT_KEY"
_B2_VARIABLES = ("B2_ACCOUNT_ID", _B2_KEY)
_NO_REPOSITORY = 10


class Setup:
    """One run of `setup` for a profile."""

    def __init__(self, app: App, flags: SetupFlags, name: str) -> None:
        self._app = app
        self._flags = flags
        check_name(name)
        self._name = name
        self._environment = app.settings.environment
        self._questions = Questions(yes=flags.yes)
        self._folder = find_profile_folder(self._environment)
        if not self._folder or not find_state_folder(self._environment):
            raise UsageError("there is no folder for profiles or for the state: HOME is not set")

    def run(self) -> None:
        """Take the steps that are not yet taken; raise PyresticError at the first that fails."""
        parse_span(self._flags.every)
        profile = load_profiles(self._environment).by_name.get(self._name)
        if profile is None:
            self._write_profile()
            profile = load_profiles(self._environment).find(self._name)
        else:
            self._ensure_same(profile)
            self._tell(f"profile {self._name} exists and stays as it is: {parse_location(profile.repo)}")
        created = self._create_repository()
        timer_changed, start = self._install_timer()
        is_proven = not created and os.path.lexists(os.path.join(*_record(self._environment, self._name)))
        if not is_proven:
            self._tell("checking a first small backup")
            self._tell(prove_backup(self._name, profile))
            self._write_sheet(profile)
        if not is_proven or timer_changed:
            self._tell(start())
            self._tell(f"Done. `pyrestic status` shows how things stand; `pyrestic -P {self._name} restore` restores.")
        else:
            self._tell("nothing to do: everything is set up")
        if not is_proven:
            create_file(*_record(self._environment, self._name), "")

    def _ensure_same(self, profile: Profile) -> None:
        """Raise UsageError if the profile is one for another repository than the one that was asked for."""
        wanted = self._app.settings.repo
        if wanted and make_absolute(wanted) != make_absolute(profile.repo):
            hint = "Name the new profile: pyrestic setup NAME."
            raise UsageError(f"profile {self._name} exists, for {parse_location(profile.repo)}", hint=hint)

    def _tell(self, sentence: str) -> None:
        self._app.say(sentence)

    def _write_profile(self) -> None:
        """Ask for everything, try the place, and store the secrets and the profile."""
        repo = make_absolute(
            self._app.settings.repo
            or self._questions.ask(
                "Where to store the backups (such as /mnt/disk/backup or b2:BUCKET:PATH)", flag="--repo"
            )
        )
        variables = self._find_variables(repo)
        settings = replace(self._app.settings, repo=repo, environment={**self._environment, **variables})
        sources = self._find_sources()
        place = try_place(settings, self._app.terminal, sources)
        password = self._find_password(settings, exists=place.exists)
        exclude = self._flags.exclude or choose_excludes(sources, self._questions, self._tell)
        if place.is_inside:
            exclude = (*exclude, repo)
        every = self._flags.every
        if self._questions.asks:
            every = self._questions.ask("Time between two backups", flag="--every", default=every)
            parse_span(every)
        stored = self._store(variables, password)
        home = self._environment.get("HOME", "")
        profile = NewProfile(
            name=self._name,
            repo=repo,
            password=stored[PASSWORD],
            source=tuple(fold_home(source, home) for source in sources),
            exclude=tuple(fold_home(pattern, home) for pattern in exclude),
            every=every,
            keeps_all=self._flags.keep_all,
            skips_missing=place.is_removable,
            env={name: stored[name] for name in variables},
            flags=_kept_flags(self._app.settings),
        )
        path = create_file(os.path.join(self._folder, "profiles.d"), f"{self._name}.toml", profile.encode())
        self._tell(f"wrote {path}")

    def _find_sources(self) -> tuple[str, ...]:
        """Return the sources, absolute; raise UsageError if one is missing."""
        sources = self._flags.source
        if not sources:
            home = self._environment.get("HOME", "")
            answer = self._questions.ask("What to back up", flag="--source", default=shlex.quote(home) if home else "")
            sources = tuple(shlex.split(answer))
        sources = tuple(os.path.abspath(os.path.expanduser(source)) for source in sources)
        for source in sources:
            if not os.path.lexists(source):
                raise UsageError(f"{source} does not exist")
        return sources

    def _find_variables(self, repo: str) -> dict[str, str]:
        """Return the variables that the backend needs."""
        if parse_location(repo).scheme != "b2":
            return {}
        identifier, key = (self._environment.get(name, "") for name in _B2_VARIABLES)
        if not identifier:
            identifier = self._questions.ask("ID of the application key for B2", flag="B2_ACCOUNT_ID")
        if not key:
            key = self._questions.ask_secret("The application key for B2", flag=_B2_KEY)
        return dict(zip(_B2_VARIABLES, (identifier, key), strict=True))

    def _find_password(self, settings: Settings, *, exists: bool) -> str:
        """Return the password of the repository, a new one if it does not exist yet."""
        password = passwords.find_password(settings) or self._read_stored(PASSWORD)
        if not exists:
            password = password or _make_password()
        elif not password:
            password = self._questions.ask_secret("The password of the repository", flag="--password-file")
        if password != password.strip() or "\n" in password:
            raise UsageError("a password that is stored has no line break, and no whitespace at its ends")
        if exists:
            given = {**settings.environment, "RESTIC_PASSWORD": password}
            opening = replace(settings, environment=given, password_file="", password_command="", quiet=True)
            with opened(opening, Terminal(opening), LockMode.NONE):
                pass
        return password

    def _read_stored(self, kind: str) -> str:
        """Return the secret of an earlier run that was killed, "" if there is none."""
        if self._flags.keyring:
            return keyring.read_secret(self._bus(), self._name, kind) or ""
        path = self._secret_path(kind)
        return read_secret(Secret("file", path), self._name, kind, {}) if os.path.lexists(path) else ""

    def _store(self, variables: Mapping[str, str], password: str) -> dict[str, str]:
        """Store the secrets and return the values of the profile that name them."""
        stored = {name: quote(value) for name, value in variables.items()}
        for kind, secret in {PASSWORD: password, _B2_KEY: variables.get(_B2_KEY, "")}.items():
            if not secret:
                continue
            if self._flags.keyring:
                keyring.store_secret(self._bus(), self._name, kind, secret)
                stored[kind] = "{ keyring = true }"
            else:
                folder, name = os.path.split(self._secret_path(kind))
                path = create_file(folder, name, f"{secret}\n")
                stored[kind] = f"{{ file = {quote(fold_home(path, self._environment.get('HOME', '')))} }}"
        return stored

    def _secret_path(self, kind: str) -> str:
        return os.path.join(self._folder, "secrets", f"{self._name}.{kind}")

    def _bus(self) -> str:
        return find_session_bus(self._environment, os.getuid())

    def _create_repository(self) -> bool:
        """Create the repository unless it exists; return whether it was created."""
        code, _, errors = run_command(["-P", self._name, "--quiet", "cat", "config"])
        if code == 0:
            return False
        if code == _NO_REPOSITORY:
            code, _, errors = run_command(["-P", self._name, "init"])
            if code == 0:
                self._tell("created the repository")
                return True
        raise PyresticError(f"the repository cannot be used: {errors}")

    def _install_timer(self) -> tuple[bool, Callable[[], str]]:
        """Install the timer; return whether it changed, and what starts it."""
        kind = self._flags.kind
        timer = next((one for one in find_timers(self._app.settings) if kind in (None, one.kind)), None)
        if timer is None:
            missing = f"there is no {kind}" if kind else "there is neither systemd nor cron"
            self._tell(f"{missing} for this user: start `pyrestic run --due` every ten minutes in another way")
            return False, lambda: "nothing starts the backups yet"
        changed = timer.install()
        if changed:
            self._tell(f"installed {timer.place}")
            for line in timer.advice():
                self._tell(line)
        return changed, timer.start

    def _write_sheet(self, profile: Profile) -> None:
        """Write the page with the recovery sheet, and show it on a terminal."""
        variables = read_variables(profile, self._environment, password=True)
        date = time.strftime("%Y-%m-%d")
        sheet = Sheet(self._name, socket.gethostname(), date, profile.repo, variables)
        path = self._flags.recovery_sheet or os.path.join(self._folder, f"recovery-{self._name}-{date}.html")
        path = os.path.abspath(path)
        create_file(os.path.dirname(path), os.path.basename(path), sheet.as_page())
        if self._app.terminal.is_terminal:
            self._app.terminal.print("", *sheet.as_text(), "")
        self._tell(f"The recovery sheet is in {path}: print it, keep it away from this computer, and delete the file.")


def remove_setup(app: App, name: str) -> None:
    """Remove the profile and, if it was the last one, the timer; the password stays, as it may be the only copy."""
    folder = find_profile_folder(app.settings.environment)
    profiles_folder = os.path.join(folder, "profiles.d")
    path = os.path.join(profiles_folder, f"{name}.toml")
    profile = load_profiles(app.settings.environment).by_name.get(name)
    removed = remove_unchanged(profiles_folder, f"{name}.toml")
    if removed is None:
        app.say(f"there is no {path}")
    elif not removed:
        app.say(f"{path} was changed since it was written, and stays")
    else:
        app.say(f"removed {path}")
        if profile is not None:
            _remove_key(app, profile, os.path.join(folder, "secrets"))
    if not load_profiles(app.settings.environment).by_name:
        for timer in find_timers(app.settings):
            if timer.remove():
                app.say(f"removed {timer.place}")
    if profile is not None and profile.password == Secret("keyring"):
        app.say("the password stays in the key ring: without it nobody can read the backups")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(*_record(app.settings.environment, name)))
    secret = os.path.join(folder, "secrets", f"{name}.{PASSWORD}")
    if os.path.lexists(secret):
        app.say(f"{secret} stays: without this password nobody can read the backups")


def _record(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the folder and the name of the file that remembers that all steps were taken."""
    return os.path.join(find_state_folder(environment), "setup"), name


def _remove_key(app: App, profile: Profile, folder: str) -> None:
    """Remove the key for B2 that `setup` stored; a new one can be made."""
    secret = profile.env.get(_B2_KEY)
    if not isinstance(secret, Secret):
        return
    path = os.path.join(folder, f"{profile.name}.{_B2_KEY}")
    if secret.source == "keyring":
        keyring.delete_secret(find_session_bus(app.settings.environment, os.getuid()), profile.name, _B2_KEY)
        app.say("removed the key for B2 from the key ring")
    elif secret.source == "file" and secret.argument == path:
        os.unlink(path)
        app.say(f"removed {path}")


def _kept_flags(settings: Settings) -> dict[str, str | int | bool | tuple[str, ...]]:
    """Return the global flags that each command with the profile needs, too."""
    flags: dict[str, str | int | bool | tuple[str, ...]] = {
        "cacert": tuple(os.path.abspath(path) for path in settings.cacert),
        "insecure-tls": settings.insecure_tls,
        "limit-download": settings.limit_download,
        "limit-upload": settings.limit_upload,
        "max-cpu": settings.max_cpu,
        "option": settings.option,
        "tls-client-cert": os.path.abspath(settings.tls_client_cert) if settings.tls_client_cert else "",
    }
    return {name: value for name, value in flags.items() if value}


def _make_password() -> str:
    """Return a password of 150 bits that can be typed from paper."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))
    return "-".join(groups)
