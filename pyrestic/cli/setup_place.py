"""Tries the place of a new profile: can it be reached, does it contain a repository, is it a good one."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from pyrestic.backend.b2.backend import B2Backend
from pyrestic.backend.location import LOCAL, parse_location
from pyrestic.cli.options import Settings
from pyrestic.cli.session import find_location, opened_place
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import NotFoundError
from pyrestic.repository.repository import CONFIG

_REMOVABLE = ("/run/media/", "/media/", "/mnt/")


class Place(NamedTuple):
    """What is known of a location: whether there is a repository, and for a local one where it is."""

    exists: bool
    is_removable: bool
    is_inside: bool
    """Whether it is in one of the sources."""


def make_absolute(repo: str) -> str:
    """Return a location that is valid in any folder; raise UsageError."""
    location = parse_location(repo)
    return os.path.abspath(os.path.expanduser(location.address)) if location.scheme == LOCAL else repo


def try_place(settings: Settings, terminal: Terminal, sources: Sequence[str]) -> Place:
    """Return what is known of the place; raise PyresticError if it cannot be used."""
    repo = settings.repo
    is_local = find_location(settings).scheme == LOCAL
    if is_local:
        _warn_of_same_disk(repo, sources, terminal)
    with opened_place(settings, terminal) as place:
        try:
            place.retry.stat(CONFIG)
            exists = True
        except NotFoundError:
            exists = False
        backend = place.backend
        if isinstance(backend, B2Backend):
            # Not at the top: other places do not need it.
            from pyrestic.backend.b2.doctor import examine

            for finding in place.retry.run("examining the bucket", lambda: examine(backend)):
                terminal.note(f"{'Problem' if finding.problem else 'Advice'}: {finding.text}. {finding.remedy}")
    inside = any(os.path.commonpath([source, repo]) == source for source in sources) if is_local else False
    return Place(exists, is_local and repo.startswith(_REMOVABLE), inside)


def _warn_of_same_disk(repo: str, sources: Sequence[str], terminal: Terminal) -> None:
    place = repo
    while not os.path.exists(place):
        place = os.path.dirname(place)
    device = os.stat(place).st_dev
    for source in sources:
        if os.lstat(source).st_dev == device:
            terminal.note(f"{repo} is on the same disk as {source}, and would be lost with it")
            return
