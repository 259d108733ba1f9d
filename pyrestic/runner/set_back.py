"""What is forgotten when the clock was set back: times in the future would keep an overdue backup silent until then."""

from typing import Final

from pyrestic.runner.records import ProfileRecord

_SLACK_SECONDS: Final = 24 * 3600.0
"""Times that are less ahead delay a message by less than a day."""


def is_ahead(record: ProfileRecord, now: float) -> bool:
    """Tell whether the last good backup of a profile, or its first appearance, is far in the future."""
    good = record.find("backup").good_started
    return max(record.first_seen, 0.0 if good is None else good) > now + _SLACK_SECONDS


def forget_future(record: ProfileRecord, now: float) -> None:
    """Count good runs in the future as unknown, and the profile as first seen now."""
    record.first_seen = min(record.first_seen, now)
    for task in record.tasks.values():
        if task.good_started is not None and task.good_started > now:
            task.good_started = task.good_ended = None
            record.first_seen = now
    record.told = {kind: min(time, now) for kind, time in record.told.items()}
