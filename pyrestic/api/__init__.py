"""The Python API: an opened repository, its snapshots and files as Python objects."""

import sys

if sys.platform != "linux":
    raise ImportError(f"pyrestic runs on Linux only, not on {sys.platform}")
