"""Makes the repositories in `fixtures/` with the real restic of three releases.

    python3 tools/make_fixtures.py          # refuses to replace what is there
    python3 tools/make_fixtures.py --force

Each is a small repository as a compressed tar archive. `fixtures/manifest.json` says for each by which release and with
which commands it was made, its SHA-256, the SHA-256 of every file in it, its passwords, and what its snapshots restore
to.
Tests that damage a repository do so on a copy (tests/support/damage.py).
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
PASSWORD, SECOND_PASSWORD = "a fixture's password", "another password"
TIME = 1_700_000_000

sys.path.insert(0, str(ROOT))
from tools.install_restic import TOOLS  # noqa: E402 - the checkout may not be installed


class Maker:
    """Runs one release in a folder of its own and remembers the commands."""

    def __init__(self, release: str, work: Path) -> None:
        self.program = TOOLS / f"restic-{release}"
        self.work = work
        self.repository = work / "repository"
        self.commands: list[str] = []
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(work), "TZ": "Europe/Berlin", "TMPDIR": str(work)}

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run a command in the source folder and return what it prints."""
        command = [str(self.program), "--repo", str(self.repository), *arguments]
        environment = self.environment | {"RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(self.work / "cache")}
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, cwd=self.work / "source")
        if done.returncode != 0:
            sys.exit(f"{' '.join(arguments)} failed: {done.stderr.decode(errors='replace')}")
        self.commands.append("restic " + " ".join(arguments))
        return done.stdout


def make_source(folder: Path) -> None:
    """A folder of a few files whose times do not change."""
    (folder / "folder" / "deep").mkdir(parents=True)
    contents = {
        "text": "All work and no play.\n" * 200,
        "empty": "",
        "folder/ümläut & <angle>": "name\n",
        "folder/deep/bottom": "bottom\n",
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    (folder / "zeros").write_bytes(bytes(5000))
    (folder / "link").symlink_to("folder/deep/bottom")
    os.link(folder / "text", folder / "folder" / "hard link")
    os.chmod(folder / "text", 0o640)
    settle(folder)


def settle(folder: Path) -> None:
    """Give everything the same time of modification."""
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (TIME, TIME), follow_symlinks=False)
    os.utime(folder, (TIME, TIME))


def make(name: str, release: str, version: str, work: Path) -> Maker:
    """Make one repository; the name says what is special about it."""
    maker = Maker(release, work)
    source = work / "source"
    make_source(source)
    maker.run("init", "--repository-version", version)
    compression = name.rsplit("-", maxsplit=1)[-1] if name.endswith(("-max", "-off")) else None
    flags = ["--compression", compression] if compression else []
    maker.run("backup", *flags, "--host", "fixture", "--tag", "first", ".")
    if name.endswith("-snapshots"):
        (source / "text").write_text("changed\n")
        (source / "new").write_text("new\n")
        settle(source)
        maker.run("backup", "--host", "fixture", "--tag", "second,changed", ".")
        maker.run("backup", "--host", "elsewhere", "--stdin", "--stdin-filename", "input", stdin=b"from a pipe\n")
    if name.endswith("-keys"):
        new = work / "new-password"
        new.write_text(SECOND_PASSWORD)
        maker.run("key", "add", "--new-password-file", str(new))
    if name.endswith("-upgraded"):
        maker.run("migrate", "upgrade_repo_v2")
        (source / "after").write_text("after the upgrade\n")
        settle(source)
        maker.run("backup", "--host", "fixture", ".")
    if name.endswith("-lock"):
        holder = subprocess.Popen(
            [str(maker.program), "--repo", str(maker.repository), "backup", "--stdin"],
            env=maker.environment | {"RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(work / "cache")},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        # A lock has 64 digits; while it is written its name is longer.
        while not any(len(path.name) == 64 for path in (maker.repository / "locks").iterdir()):
            time.sleep(0.01)
        holder.kill()
        holder.wait()
        maker.commands.append("restic backup --stdin (killed)")
    return maker


PLAN = [
    *((f"{release}-v{version}", release, version) for release in ("0.14", "0.18", "0.19") for version in ("1", "2")),
    ("0.14-v1-upgraded", "0.14", "1"),
    ("0.18-v2-snapshots", "0.18", "2"),
    ("0.19-v2-keys", "0.19", "2"),
    ("0.19-v2-max", "0.19", "2"),
    ("0.19-v2-off", "0.19", "2"),
    ("0.19-v2-lock", "0.19", "2"),
]


def pack(repository: Path, archive: Path) -> None:
    """Write the repository as a tar archive whose bytes depend on its files alone."""
    with tarfile.open(archive, "w:xz", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(repository.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                info = tarfile.TarInfo(str(path.relative_to(repository)))
                info.size, info.mode = len(data), 0o600
                tar.addfile(info, io.BytesIO(data))


def describe(maker: Maker) -> dict[str, object]:
    """Return what the manifest says of a repository, as the release that made it sees it."""
    files = {
        str(path.relative_to(maker.repository)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(maker.repository.rglob("*"))
        if path.is_file()
    }
    snapshots = json.loads(maker.run("snapshots", "--no-lock", "--json"))
    maker.commands.pop()
    restored = {}
    for snapshot in snapshots:
        target = maker.work / snapshot["short_id"]
        maker.run("restore", "--no-lock", snapshot["id"], "--target", str(target))
        maker.commands.pop()
        restored[snapshot["id"]] = {
            "tree": snapshot["tree"],
            "files": {
                str(path.relative_to(target)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(target.rglob("*"))
                if path.is_file() and not path.is_symlink()
            },
        }
    version = maker.run("version").decode().strip()
    maker.commands.pop()
    return {"made_by": version, "commands": maker.commands, "files": files, "snapshots": restored}


def main() -> int:
    """Make all repositories that the plan names."""
    manifest_path = FIXTURES / "manifest.json"
    if manifest_path.exists() and "--force" not in sys.argv:
        print("fixtures/ is there already; --force makes it anew", file=sys.stderr)
        return 1
    FIXTURES.mkdir(exist_ok=True)
    manifest: dict[str, object] = {"password": PASSWORD, "second_password": SECOND_PASSWORD}
    repositories: dict[str, object] = {}
    for name, release, version in PLAN:
        work = Path(tempfile.mkdtemp())
        try:
            maker = make(name, release, version, work)
            archive = FIXTURES / f"{name}.tar.xz"
            pack(maker.repository, archive)
            entry = describe(maker)
            commands = [command.replace(str(work), "WORK") for command in maker.commands]
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            repositories[name] = {"archive": archive.name, "sha256": digest, **entry, "commands": commands}
            print(f"{archive.name}: {archive.stat().st_size} bytes")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    manifest["repositories"] = repositories
    manifest_path.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
