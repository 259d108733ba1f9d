"""Every example of docs/python.md, run in order, and the real restic on what they wrote."""

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.b2 import BUCKET, open_b2
from tests.support.repositories import PASSWORD, make_repository
from tests.support.restic import ROOT, Program
from tools.b2_server import B2Server

PAGE = (ROOT / "docs" / "python.md").read_text()


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page says is there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password.txt").write_text(PASSWORD + "\n")
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "letter.txt").write_text("Dear reader,\n" * 100)
    (documents / "numbers.csv").write_text("name,number\none,1\ntwo,2\n")
    with zipfile.ZipFile(documents / "archive.zip", "w") as archive:
        archive.writestr("inside.txt", "packed")
    return tmp_path


def test_the_examples_run_and_restic_reads_what_they_wrote(
    folder: Path, b2: B2Server, newest: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    make_repository(open_b2(b2, f"{BUCKET}:backup")).close()
    names: dict[str, Any] = {}
    examples = blocks(PAGE)
    assert len(examples) == PAGE.count("```python")
    for number, example in enumerate(examples, 1):
        if "skip_if_unchanged" in example:
            (folder / "documents" / "new.txt").write_text("new")
        # The page cannot know where the service of this test is, nor its key.
        here = example.replace("options={", f'options={{"b2.endpoint": {b2.url!r}, ')
        here = here.replace("a key's ID", b2.master_id).replace("the key", b2.master_key)
        exec(compile(here, f"docs/python.md, example {number}", "exec"), names)
    assert names["rows"] == [{"name": "one", "number": "1"}, {"name": "two", "number": "2"}]
    assert names["beginning"] == b"Dear"
    assert names["gone"] == []
    assert names["inside"] == ["inside.txt"]
    assert sorted(names["names"]) == ["archive.zip", "letter.txt", "numbers.csv"]
    letter = (folder / "documents" / "letter.txt").read_bytes()
    assert (folder / "restored" / "documents" / "letter.txt").read_bytes() == letter
    assert not (folder / "restored" / "documents" / "numbers.csv").exists()
    assert (folder / "one letter.txt").read_bytes() == letter
    assert names["plan"].bytes_to_write == len(letter)
    assert (folder / "somewhere" / "letter.txt").read_bytes() == letter
    assert list(names["table"]["number"]) == [1, 2]
    assert [path.partition("/")[2] for path in names["found"]] == ["documents/letter.txt"]
    assert (folder / "copied" / "archive.zip").read_bytes() == (folder / "documents" / "archive.zip").read_bytes()
    names["files"].close()
    shown = capsys.readouterr().out
    assert "/documents/no such file is not in snapshot" in shown
    assert "wrong password" in shown

    newest.run("check", "--read-data", repository=folder / "backup")
    snapshots = newest.snapshots(folder / "backup")
    assert [each["paths"] for each in snapshots] == [
        [str(folder / "documents")],
        [str(folder / "documents")],
        ["/dumps/shop.sql"],
        [str(folder / "documents")],
    ]
    assert newest.run("dump", "latest", "/documents/letter.txt", repository=folder / "backup").stdout == letter
    assert newest.run("list", "locks", repository=folder / "backup").stdout == b""
