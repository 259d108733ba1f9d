"""Buckets of S3 and of services that speak its protocol: `s3:HOST/BUCKET/PREFIX`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions

OPTIONS = {
    "as-of": "open the repository as of this time, read-only; needs a bucket with versioning",
    "bucket-lookup": "how the bucket is named: auto, dns (in the host) or path (default: auto)",
    "connections": "number of concurrent connections (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
    "enable-restore": "request packs in GLACIER or DEEP_ARCHIVE before they are read, and wait for them",
    "layout": "ignored; every repository has the default layout",
    "list-objects-v1": "use the older call for listings",
    "region": "region of the bucket (default: AWS_DEFAULT_REGION, else what the service names)",
    "restore-days": "days for which requested packs can be read (default: 7)",
    "restore-tier": "speed and price of such requests: Standard, Bulk or Expedited (default: Standard)",
    "restore-timeout": "how long to wait for them (default: 24h)",
    "retention": "lock new files, except lock files, for a number of days such as 30d; needs object lock",
    "retention-mode": "governance or compliance, which nobody can undo (default: governance)",
    "retries": "ignored; s3.deadline limits the retries",
    "storage-class": "storage class of new files; GLACIER and DEEP_ARCHIVE only for packs of file content",
    "unsafe-anonymous-auth": "send requests without credentials, to a public bucket",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a bucket; raise UsageError."""
    from pyrestic.backend.s3.location import open_s3

    return open_s3(address, options, access)
