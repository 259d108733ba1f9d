"""pyrestic key: manage the passwords of a repository."""

import time

from pyrestic.cli import password as passwords
from pyrestic.cli.command import App, Group, define
from pyrestic.cli.flag_fields import Flags, arguments, switch, text
from pyrestic.cli.options import PasswordNames
from pyrestic.cli.session import opened
from pyrestic.cli.table import format_table
from pyrestic.errors import UsageError
from pyrestic.ids import short
from pyrestic.localfs.password import read_file
from pyrestic.operations.change_keys import add_password, change_password, remove_password
from pyrestic.repository.keys import list_keys
from pyrestic.repository.locking import LockMode

_NEW_PASSWORD = PasswordNames(("--new-password-file",), "--new-insecure-no-password")


@define("list", "List keys.", prints=True)
def key_list(app: App) -> None:
    """Print all keys, the current one with a star."""
    with opened(app.settings, app.terminal, LockMode.READ) as session:
        repository = session.repository
        keys = list_keys(repository.backend, current=repository.key_id, report=app.terminal)
    shown = [
        {
            "current": key.current,
            "id": key.id.hex(),
            "userName": key.keyfile.username,
            "hostName": key.keyfile.hostname,
            "created": _local(key.keyfile.created),
        }
        for key in keys
    ]
    if app.settings.json:
        app.terminal.print_json(shown)
        return
    rows = [
        [("*" if key.current else " ") + short(key.id), str(one["userName"]), str(one["hostName"]), str(one["created"])]
        for key, one in zip(keys, shown, strict=True)
    ]
    for line in format_table([" ID", "User", "Host", "Created"], rows, quoted=app.terminal.is_terminal):
        app.terminal.print(line)


def _local(created: str) -> str:
    from pyrestic.format.gojson import parse_time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(parse_time(created) // 1_000_000_000))


class _NewKeyFlags(Flags):
    host: str = text("--host", value="HOST", help="host name to store in the key")
    user: str = text("--user", value="USER", help="user name to store in the key")
    new_password_file: str = text("--new-password-file", value="FILE", help="file with the new password")
    new_insecure_no_password: bool = switch("--new-insecure-no-password", help="make the new password empty")


class _RemoveFlags(Flags):
    key_id: tuple[str, ...] = arguments("KEY_ID")


def _new_password(flags: _NewKeyFlags) -> str:
    if flags.new_password_file and flags.new_insecure_no_password:
        raise UsageError("only either --new-password-file or --new-insecure-no-password may be specified")
    if flags.new_insecure_no_password:
        return ""
    if flags.new_password_file:
        password = read_file(flags.new_password_file)
        if not password:
            raise passwords.empty_password(_NEW_PASSWORD, "new key", flags.new_password_file)
        return password
    return passwords.ask_twice("enter new password: ", "enter password again: ", _NEW_PASSWORD, "new key")


def _tell(app: App, text: str) -> None:
    """Print a line, even with --json, because nothing else shows the new key."""
    if not app.settings.quiet:
        app.terminal.print(text)


@define("add", "Add a key (password).", _NewKeyFlags)
def key_add(app: App, flags: _NewKeyFlags) -> None:
    """Add a key."""
    with opened(app.settings, app.terminal, LockMode.APPEND) as session:
        password = _new_password(flags)
        key = add_password(session.repository, password, hostname=flags.host, username=flags.user)
        _tell(app, f"saved new key with ID {key.hex()}")


@define("remove", "Remove a key (password).", _RemoveFlags)
def key_remove(app: App, flags: _RemoveFlags) -> None:
    """Remove a key, except for the current one."""
    if len(flags.key_id) != 1:
        raise UsageError("key remove expects one argument as the key id")
    with opened(app.settings, app.terminal, LockMode.EXCLUSIVE) as session:
        identifier = remove_password(session.repository, flags.key_id[0], session.ensure_locked)
        app.terminal.note(f"removed key {identifier.hex()}")


@define("passwd", "Change the password: add a new key and remove the one in use.", _NewKeyFlags)
def key_passwd(app: App, flags: _NewKeyFlags) -> None:
    """Change the password."""
    with opened(app.settings, app.terminal, LockMode.EXCLUSIVE) as session:
        password = _new_password(flags)
        key = change_password(
            session.repository, password, session.ensure_locked, hostname=flags.host, username=flags.user
        )
        _tell(app, f"saved new key as ID {key.hex()}")


command = Group("key", "Manage keys (passwords).", key_list, key_add, key_remove, key_passwd)
