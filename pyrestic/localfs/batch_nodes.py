"""Creates the nodes of many regular files at once from the results of file_reader: the same as metadata's."""

from collections.abc import Callable, Sequence

from pyrestic.engine_types import FileRecords
from pyrestic.format.gojson import quote_name
from pyrestic.format.node import FILE, Node, mode_to_go
from pyrestic.localfs.metadata import format_local_second, group_name, user_name


def make_nodes(
    names: Sequence[bytes],
    records: FileRecords,
    *,
    with_atime: bool = False,
    device_ids_for_links_alone: bool = False,
    add_attributes: Callable[[int, Node], None],
) -> list[Node | None]:
    """Return the nodes of files without content, None for files that were not read.

    The size is the number of bytes read. `add_attributes` receives the number and the node of a file with extended
    attributes.
    """
    nodes: list[Node | None] = []
    columns = zip(
        names,
        records.lengths,
        records.modes,
        records.links,
        records.uids,
        records.gids,
        records.inodes,
        records.devices,
        records.mtimes,
        records.mtime_ns,
        records.ctimes,
        records.ctime_ns,
        strict=True,
    )
    for name, length, mode, links, uid, gid, inode, device, seconds, ns, ctime_seconds, ctime_ns in columns:
        if length < 0:
            nodes.append(None)
            continue
        mtime = format_local_second(seconds, ns)
        same = ctime_ns == ns and ctime_seconds == seconds
        nodes.append(
            Node(
                name=quote_name(name),
                type=FILE,
                mode=mode_to_go(mode),
                mtime=mtime,
                atime=mtime,
                ctime=mtime if same else format_local_second(ctime_seconds, ctime_ns),
                uid=uid,
                gid=gid,
                user=user_name(uid),
                group=group_name(gid),
                inode=inode,
                device_id=0 if device_ids_for_links_alone and links == 1 else device,
                size=length,
                links=links,
                content=[],
            )
        )
    if with_atime:
        for node, seconds, ns in zip(nodes, records.atimes, records.atime_ns, strict=True):
            if node is not None:
                node.atime = format_local_second(seconds, ns)
    if any(records.attributes):
        for number, (node, attributes) in enumerate(zip(nodes, records.attributes, strict=True)):
            if node is not None and attributes:
                add_attributes(number, node)
    return nodes
