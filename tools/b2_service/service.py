"""What all calls share."""

from dataclasses import dataclass
from typing import Any

from tools.b2_service.access import Access
from tools.b2_service.failure import CallError, bad_request
from tools.b2_service.faults import Faults
from tools.b2_service.store import Bucket, Store, Version

Request = dict[str, Any]
Answer = dict[str, Any]


@dataclass
class Service:
    """All that a call may need. Sizes in bytes; tests make them small."""

    store: Store
    faults: Faults
    access: Access
    url: str = ""
    recommended_part_bytes: int = 100_000_000
    minimum_part_bytes: int = 5_000_000
    maximum_upload_bytes: int = 5_000_000_000

    def bucket(self, bucket_id: object) -> Bucket:
        """Return a bucket by its ID."""
        for bucket in self.store.buckets():
            if bucket.id == bucket_id:
                return bucket
        raise bad_request(f"bucketId {bucket_id} does not exist", "bad_bucket_id")

    def version(self, version_id: object) -> Version:
        """Return a version of a file by its ID."""
        version = self.store.find_version(str(version_id))
        if version is None:
            raise CallError(404, "not_found", f"file_id {version_id} does not exist")
        return version
