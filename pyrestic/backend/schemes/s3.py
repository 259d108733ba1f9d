"""Buckets of S3 and of services that speak its protocol: `s3:HOST/BUCKET/PREFIX`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions

OPTIONS = {
    "bucket-lookup": "how the bucket is named: auto, dns (in the host) or path (default: auto)",
    "connections": "number of concurrent connections (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
    "layout": "ignored; every repository has the default layout",
    "list-objects-v1": "use the older call for listings",
    "region": "region of the bucket (default: AWS_DEFAULT_REGION, else what the service names)",
    "retries": "ignored; s3.deadline limits the retries",
    "storage-class": "storage class of new files; GLACIER and DEEP_ARCHIVE only for packs of file content",
    "unsafe-anonymous-auth": "send requests without credentials, to a public bucket",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a bucket; raise UsageError."""
    from pyrestic.backend.s3.location import open_s3

    return open_s3(address, options, access)
