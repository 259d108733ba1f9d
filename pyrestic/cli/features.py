"""Feature flags: behaviours of restic that can be switched before they become the rule (RESTIC_FEATURES)."""

from pyrestic.cli.arguments import parse_bool
from pyrestic.errors import UsageError

DEVICE_ID_FOR_HARDLINKS = "device-id-for-hardlinks"
"""Backup notes a device number only where a hard link needs it."""

_SWITCHABLE = {"backend-error-redesign": True, DEVICE_ID_FOR_HARDLINKS: False, "s3-restore": False}
_ALWAYS_ON = frozenset(
    ("deprecate-legacy-index", "deprecate-s3-legacy-layout", "explicit-s3-anonymous-auth", "safe-forget-keep-tags")
)


def parse_features(text: str) -> frozenset[str]:
    """Return the names of the features that are on, given `name[=bool],…`; raise UsageError for an unknown one."""
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
