"""Object lock: new files cannot be deleted or overwritten before a time, whatever key somebody has.

Lock files are never locked: each command deletes its own.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyrestic.backend.layout import FOLDERS, is_file_name
from pyrestic.backend.s3.caller import S3Caller
from pyrestic.backend.s3.errors import read_report, s3_error
from pyrestic.errors import AccessError
from pyrestic.handle import FileType


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long new files are locked. A key with a special permission can undo the mode GOVERNANCE."""

    days: int
    mode: str = "GOVERNANCE"


class Retainer:
    """Makes the headers that lock files of one bucket."""

    def __init__(self, caller: S3Caller, retention: Retention) -> None:
        self._caller = caller
        self._retention = retention
        self._checked = False

    def headers(self, key: str) -> dict[str, str]:
        """Return the headers for the upload of an object; raise AccessError if the bucket cannot lock any."""
        self._check_bucket()
        folder, _, name = f"/{key}".rpartition("/")
        # The name counts, too: the prefix of the repository may end like the folder.
        if folder.endswith(f"/{FOLDERS[FileType.LOCK]}") and is_file_name(name):
            return {}
        until = datetime.fromtimestamp(self._caller.now(), UTC) + timedelta(days=self._retention.days)
        return {
            "X-Amz-Object-Lock-Mode": self._retention.mode,
            "X-Amz-Object-Lock-Retain-Until-Date": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _check_bucket(self) -> None:
        """Ask once, before anything is uploaded. A key that may not ask learns it with its first file."""
        if self._checked:
            return
        doing = "looking for the object lock of the bucket"
        answer = self._caller.send("GET", "", doing, query=[("object-lock", "")])
        code = read_report(answer).code
        if code == "ObjectLockConfigurationNotFoundError" or (answer.status == 200 and b"Enabled" not in answer.body):
            raise AccessError(
                f"object lock is not enabled for the bucket {self._caller.address.bucket}",
                hint="Enable it in the settings of the bucket, or omit -o s3.retention.",
            )
        if answer.status != 200 and code != "AccessDenied":
            raise s3_error(answer, doing)
        self._checked = True
