"""Backs up, checks and restores a small folder with the pyrestic of the Python that runs this, and compares."""

import filecmp
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Return 0 if what was restored equals the source."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        source = work / "source"
        (source / "folder").mkdir(parents=True)
        (source / "large").write_bytes(random.Random(1).randbytes(3 << 20))
        (source / "folder" / "small").write_text("some text\n" * 100)
        environment = os.environ | {"RESTIC_PASSWORD": "smoke", "RESTIC_CACHE_DIR": str(work / "cache")}
        for arguments in (
            ["init"],
            ["backup", str(source)],
            ["check", "--read-data"],
            ["restore", f"latest:{source}", "--target", str(work / "target")],
        ):
            command = [sys.executable, "-m", "pyrestic", "--quiet", "--repo", str(work / "repository"), *arguments]
            subprocess.run(command, env=environment, check=True)
        names = ["large", "folder/small"]
        _, wrong, missing = filecmp.cmpfiles(source, work / "target", names, shallow=False)
    print(f"smoke: {'restored files differ' if wrong or missing else 'ok'}")
    return 1 if wrong or missing else 0


if __name__ == "__main__":
    sys.exit(main())
