"""The local folders of a command: the cache, and compiled code."""

from pyrestic.backend.private_folder import distrust
from pyrestic.backend.wrap.cache_folder import find_default_base
from pyrestic.cli.options import Settings
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import UsageError
from pyrestic.localfs.user_folders import find_own_folder, find_state_folder


def cache_base(settings: Settings) -> str:
    """Return the cache folder, "" if none is used."""
    if settings.no_cache:
        return ""
    try:
        return settings.cache_dir or find_default_base(settings.environment)
    except UsageError:
        return ""


def code_folder(settings: Settings) -> str:
    """Return pyrestic's folder of compiled code, "" for none; it is separate from the cache shared with restic."""
    return find_own_folder(settings.environment)


def tell_distrusted(settings: Settings, terminal: Terminal) -> None:
    """Report at -v, once per reason, that other users could have written to a folder."""
    environment = settings.environment
    own = "" if settings.no_cache else find_own_folder(environment)
    folders = filter(None, (cache_base(settings), own, find_state_folder(environment)))
    for message in dict.fromkeys(str(error) for error in map(distrust, folders) if error is not None):
        terminal.note_once(message, 2)
