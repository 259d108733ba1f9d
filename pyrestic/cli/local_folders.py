"""The folders on this machine that a command keeps things in: the cache, and compiled code."""

import time

from pyrestic.backend.base import Backend
from pyrestic.backend.private_folder import distrust
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import find_default_base, list_cache_folders, open_cache, remove_cache_folder
from pyrestic.cli.options import Settings
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import PyresticError, UntrustedError, UsageError
from pyrestic.format.config import Config
from pyrestic.localfs.user_folders import find_own_folder, find_state_folder


def cache_base(settings: Settings) -> str:
    """Return the folder of the cache, "" if none is used."""
    if settings.no_cache:
        return ""
    try:
        return settings.cache_dir or find_default_base(settings.environment)
    except UsageError:
        return ""


def code_folder(settings: Settings) -> str:
    """Return where pyrestic keeps compiled code, "" for nowhere; apart from the cache that it shares with restic."""
    return find_own_folder(settings.environment)


def tell_distrusted(settings: Settings, terminal: Terminal) -> None:
    """Say at -v, once for each reason, that somebody else could have put something where things are kept."""
    environment = settings.environment
    own = "" if settings.no_cache else find_own_folder(environment)
    folders = filter(None, (cache_base(settings), own, find_state_folder(environment)))
    for message in dict.fromkeys(str(error) for error in map(distrust, folders) if error is not None):
        terminal.note_once(message, 2)


def with_cache(settings: Settings, terminal: Terminal, backend: Backend, config: Config, base: str | None) -> Backend:
    """Return the backend with its cache, if one is used; `base` is another folder for it than usual, "" for none."""
    if settings.no_cache or base == "":
        return backend
    try:
        base = base or settings.cache_dir or find_default_base(settings.environment)
        cache = open_cache(base, config.id)
        if cache.created and terminal.is_terminal:
            terminal.note(f"created new cache in {base}")
        _clean_cache(settings, terminal, base, config.id)
    except UntrustedError:
        # That is told once for all that is kept.
        return backend
    except PyresticError as error:
        terminal.note(f"unable to open cache: {error}", 0)
        return backend
    return CacheBackend(backend, cache.folder, on_note=lambda message: terminal.note(message, 0))


def _clean_cache(settings: Settings, terminal: Terminal, base: str, own: str) -> None:
    old = [info for info in list_cache_folders(base) if info.name != own and info.is_old(time.time())]
    if old and not settings.cleanup_cache and terminal.is_terminal:
        terminal.note(f"found {len(old)} old cache directories in {base}, run with --cleanup-cache to remove them")
    if settings.cleanup_cache:
        for info in old:
            remove_cache_folder(info)
