"""What goes on beside the pages: new backups, damage, an interrupt in the middle, folders and histories without end."""

import http.client
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format import snapshot as snapshots
from pyrestic.format.gojson import format_time
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.snapshot import PARTIAL_TAG, Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter
from pyrestic.web.site import Site
from tests.support.cli import Caller
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program, find_pyrestic
from tests.support.webserver import WebServer, serving
from tests.web.test_safety import newest
from tools.make_history import HOUR_NS, START_NS, QuickBackend, make_file_node, make_node

ENTRIES = 100_000
SNAPSHOTS = 2_000


def open_quick(folder: Path) -> Repository:
    return Repository.open(LocalBackend(str(folder)), PASSWORD)


def test_pages_say_that_a_snapshot_is_partial(pyrestic: Program, tmp_path: Path) -> None:
    folder = make_quick_repository(tmp_path / "repository")
    repository = open_quick(folder)
    tree = repository.saver.save(BlobType.TREE, encode_tree([])).id
    repository.flush()
    for tags in ([], [PARTIAL_TAG]):
        snapshot = Snapshot(time="2026-01-01T00:00:00Z", tree=tree.hex(), hostname="h", paths=["/"], tags=tags)
        repository.save_unpacked(FileType.SNAPSHOT, snapshots.encode(snapshot))
    repository.close()
    with serving(pyrestic, folder) as server:
        server.enter()
        first = server.request("/").text
        assert first.count("partial, ended early") == 1
        pages = [server.request(place.rstrip("/")).text for place in set(re.findall('"(/snapshot/[^"?]+)"', first))]
        assert sorted(page.count("<dd>partial, ended early") for page in pages) == [0, 1]


def test_backups_made_meanwhile_show_up_with_their_content_and_removed_ones_vanish(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("first")
    call("backup", "source")
    repository = Repository.open(LocalBackend(str(call.repository)), call.environment["RESTIC_PASSWORD"])
    repository.load_index(NullReporter())
    now = [0.0]
    site = Site(repository, SnapshotFilter(), NullReporter(), title="", clock=lambda: now[0])
    (old,) = site.catalog.snapshots()
    (tmp_path / "source" / "file").write_text("second")
    call("backup", "source")
    assert site.catalog.snapshots() == [old]
    now[0] += 31
    new, again = site.catalog.snapshots()
    assert again == old
    assert site.catalog.before(new) == old
    assert site.catalog.after(old) == new
    reader = site.reader(site.find(new, b"/source/file").file())
    assert reader.read(0, 100) == b"second"
    call("forget", old.id.hex())
    now[0] += 31
    assert site.catalog.snapshots() == [new]
    site.close()
    repository.close()


@pytest.fixture
def damaged(repository: Path, tmp_path: Path) -> Path:
    """A copy of the repository without its packs of data."""
    copy = tmp_path / "damaged"
    shutil.copytree(repository, copy)
    opened = open_quick(copy)
    opened.load_index(NullReporter())
    for blob in opened.index.blobs():
        if blob.type is BlobType.DATA:
            (copy / "data" / blob.pack.hex()[:2] / blob.pack.hex()).unlink(missing_ok=True)
    opened.close()
    return copy


def test_what_is_damaged_is_a_sentence_and_half_an_archive_no_whole_one(pyrestic: Program, damaged: Path) -> None:
    with serving(pyrestic, damaged) as server:
        server.enter()
        place = f"{newest(server)}/home/ann"
        for target in (f"/files/{place}/notes.txt", f"/image/{place}/notes.txt"):
            answer = server.request(target)
            assert answer.status >= 500 or answer.status == 404
            assert "Traceback" not in answer.text
            assert "<h1>" in answer.text
        assert server.request(f"/files/{place}").status == 200
        for target in (f"/archive/{place}?as=tar", f"/archive/{place}?as=zip", f"/download/{place}/notes.txt"):
            with pytest.raises(http.client.IncompleteRead):
                server.request(target)
        server.interrupt()
        assert server.process.stdout is not None
        rest = server.process.stdout.read().decode()
        assert "Traceback" not in rest
        assert "error:" in rest


def test_an_interrupt_ends_downloads_that_nobody_reads(pyrestic: Program, tmp_path: Path) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    (tmp_path / "large").write_bytes(bytes(range(256)) * 200_000)
    pyrestic.run("backup", tmp_path / "large", repository=repository)
    with serving(pyrestic, repository) as server:
        server.enter()
        connections = []
        # The way down to the only folder is skipped; a lone file is no folder to go to.
        assert server.request(f"/files/{newest(server)}").headers["location"].endswith(str(tmp_path))
        assert server.request(f"/files/{newest(server)}?stay=1").status == 200
        for target in (f"/download/{newest(server)}{tmp_path}/large", f"/archive/{newest(server)}{tmp_path}?as=tar"):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", target, headers={"Host": server.host, "Cookie": server.cookie})
            assert connection.getresponse().read(1000)
            connections.append(connection)
        assert server.interrupt() == 130
        for connection in connections:
            connection.close()
        assert server.process.stdout is not None
        assert "Traceback" not in server.process.stdout.read().decode()
    assert list((repository / "locks").iterdir()) == []


def test_a_snapshot_of_one_file_is_a_folder_with_that_file(pyrestic: Program, tmp_path: Path) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    pyrestic.run("backup", "--stdin", "--stdin-filename", "lone", repository=repository, stdin=b"content")
    with serving(pyrestic, repository) as server:
        server.enter()
        page = server.request(f"/files/{newest(server)}")
        assert page.status == 200
        assert ">lone</bdi>" in page.text


def make_endless(folder: Path) -> Path:
    """Make a repository with many snapshots of a small file beside a folder with very many entries."""
    make_quick_repository(folder)
    repository = Repository.open(QuickBackend(str(folder)), PASSWORD)
    saver = repository.saver
    contents = [b"content %d" % number for number in range(500)]
    blobs = [saver.save(BlobType.DATA, content).id for content in contents]

    def file(name: str, hours: int) -> Node:
        number = hours % len(blobs)
        return make_file_node(name, len(contents[number]), START_NS + hours * HOUR_NS, [blobs[number]])

    def tree(nodes: list[Node]) -> str:
        return saver.save(BlobType.TREE, encode_tree(nodes)).id.hex()

    photos = tree([file(f"IMG_{number:06}.jpg", number) for number in range(ENTRIES)])
    for hours in range(SNAPSHOTS):
        home = tree([make_node("Photos", DIRECTORY, 0o40755, START_NS, photos), file("notes", hours)])
        root = tree([make_node("home", DIRECTORY, 0o40755, START_NS, home)])
        when = format_time(START_NS + hours * HOUR_NS, 0)
        made = Snapshot(time=when, tree=root, paths=["/home"], hostname="desk", username="ann")
        repository.save_unpacked(FileType.SNAPSHOT, snapshots.encode(made))
    repository.flush()
    repository.close()
    return folder


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server of 2,000 snapshots, in which a folder has 100,000 entries."""
    folder = tmp_path_factory.mktemp("endless")
    with serving(find_pyrestic(folder), make_endless(folder / "repository")) as running:
        running.enter()
        yield running


@pytest.mark.process
@pytest.mark.slow
def test_large_folders_and_long_histories_come_in_pages(endless: WebServer) -> None:
    place = f"{newest(endless)}/home"
    for target, holds in (
        ("/", "2\u202f000 snapshots"),
        ("/?page=34", "1\u202f981–2\u202f000 of 2\u202f000 snapshots"),
        ("/?month=2024-02&page=2", "of 696 snapshots"),
        (f"/files/{place}/Photos", "1–200 of 100\u202f000 entries"),
        (f"/files/{place}/Photos?page=500", "IMG_099999.jpg"),
        (f"/files/{place}/Photos?sort=date&order=down&page=1", "IMG_099999.jpg"),
        (f"/files/{place}/Photos?name=0999", "IMG_099900.jpg"),
        (f"/files/{place}/Photos/IMG_000500.jpg", "content 0"),
        (f"/versions/{place}/notes?part=1", "500 versions"),
        (f"/versions/{place}/notes?page=5", "401–500 of 500 versions"),
        (f"/versions/{place}/Photos/IMG_000500.jpg", "2\u202f000 snapshots"),
        ("/search?q=IMG_0999", "100 paths found"),
        ("/search?q=IMG", "More than 300 names match"),
    ):
        answer = endless.request(target)
        assert answer.status == 200, target
        assert holds in answer.text, target
        assert len(answer.body) < 250_000, target
