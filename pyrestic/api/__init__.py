"""What programs import: an opened repository, its snapshots and files as Python objects."""
