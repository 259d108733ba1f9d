"""A repository as a FUSE file system."""
