"""A repository as a file system of this machine, by FUSE."""
