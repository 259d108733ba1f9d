"""Feature flags: changes in restic's behavior that can be switched on or off in advance (RESTIC_FEATURES)."""

from typing import NamedTuple

from pyrestic.cli.arguments import parse_bool
from pyrestic.errors import UsageError

DEVICE_ID_FOR_HARDLINKS = "device-id-for-hardlinks"
"""Backups store a device number only if a hard link needs it."""


class Feature(NamedTuple):
    """A flag: alpha is off unless switched on, beta on unless switched off, stable always on."""

    name: str
    state: str
    text: str

    @property
    def default(self) -> bool:
        """Its default."""
        return self.state != "alpha"


FEATURES = (
    Feature("backend-error-redesign", "beta", "stalled requests are aborted, and errors are classified"),
    Feature("deprecate-legacy-index", "stable", "index files of restic 0.1 are not read, see `repair index`"),
    Feature("deprecate-s3-legacy-layout", "stable", "the layout of S3 repositories up to restic 0.7 is not read"),
    Feature(DEVICE_ID_FOR_HARDLINKS, "alpha", "device numbers are stored only for files with several hard links"),
    Feature("explicit-s3-anonymous-auth", "stable", "S3 without a key must be requested explicitly"),
    Feature("s3-restore", "alpha", "files of S3 are fetched from cold storage"),
    Feature("safe-forget-keep-tags", "stable", "an unknown tag to keep does not remove all snapshots"),
)
_SWITCHABLE = {feature.name: feature.default for feature in FEATURES if feature.state != "stable"}
_ALWAYS_ON = frozenset(feature.name for feature in FEATURES if feature.state == "stable")


def parse_features(text: str) -> frozenset[str]:
    """Return the names of the enabled features, given `name[=bool],…`; raise UsageError for an unknown one."""
    features = dict(_SWITCHABLE)
    for item in text.split(",") if text else ():
        name, equals, value = item.partition("=")
        try:
            enabled = parse_bool(value) if equals else True
        except UsageError as error:
            raise UsageError(f'failed to parse value "{value}" for feature flag {name}: {error}') from None
        if name in features:
            features[name] = enabled
        elif name not in _ALWAYS_ON:
            raise UsageError(f'unknown feature flag "{name}"')
    return _ALWAYS_ON | {name for name, enabled in features.items() if enabled}
