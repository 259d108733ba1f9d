"""Where the repository of a profile is."""

from pyrestic.backend.location import Location, parse_location
from pyrestic.errors import UsageError
from pyrestic.profiles.profile import Profile


def find_location(profile: Profile) -> Location:
    """Return where the repository of a profile is; an invalid location is left to the command, which fails."""
    try:
        return parse_location(profile.repo)
    except UsageError:
        return Location("", profile.repo)
