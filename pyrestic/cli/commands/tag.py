"""pyrestic tag: change the tags of snapshots."""

from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import StrictSnapshotFlags
from pyrestic.cli.flag_fields import arguments, texts
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.session import opened
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import PyresticError, UsageError
from pyrestic.ids import ID
from pyrestic.operations.tag import TagChange, change_tags
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import find_snapshots


class TagFlags(StrictSnapshotFlags):
    """The flags of tag."""

    add: tuple[str, ...] = texts("--add", value="TAGS", help="add these tags: tag[,tag…]")
    remove: tuple[str, ...] = texts("--remove", value="TAGS", help="remove these tags: tag[,tag…]")
    replacement: tuple[str, ...] = texts("--set", value="TAGS", help="replace all tags with these: tag[,tag…]")
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("tag", "Change the tags of all snapshots, or of those selected by ID or filter.", TagFlags)
def command(app: App, flags: TagFlags) -> int | None:
    """Change the tags and print the new IDs."""
    if not (flags.replacement or flags.add or flags.remove):
        raise UsageError("nothing to do!")
    if flags.replacement and (flags.add or flags.remove):
        raise UsageError("--set and --add/--remove cannot be given at the same time")
    change = TagChange(_flatten(flags.replacement), _flatten(flags.add), _flatten(flags.remove))
    terminal, wanted = app.terminal, flags.wanted(app.settings.environment)
    terminal.note("create exclusive lock for repository")
    with opened(app.settings, terminal, LockMode.EXCLUSIVE) as session:
        selection = find_snapshots(session.repository, list(flags.snapshot_id), wanted, terminal)
        count = failed = 0
        for old, new in change_tags(session.repository, selection.snapshots, change, terminal, session.ensure_locked):
            if new is None:
                failed += 1
                continue
            count += 1
            _tell(terminal, old, new)
        if terminal.json:
            terminal.print_json({"message_type": "summary", "changed_snapshots": count})
        else:
            terminal.note(f"modified {count} snapshots" if count else "no snapshots were modified")
    if failed:
        raise PyresticError(f"the tags of {failed} snapshots could not be changed")
    return end_incomplete(app, selection.failures)


def _flatten(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(tag for tags in parse_tags(values) for tag in tags if tag)


def _tell(terminal: Terminal, old: ID, new: ID) -> None:
    if terminal.json:
        terminal.print_json({"message_type": "changed", "old_snapshot_id": old.hex(), "new_snapshot_id": new.hex()})
    else:
        terminal.note(f"old snapshot ID: {old.hex()} -> new snapshot ID: {new.hex()}", 2)
