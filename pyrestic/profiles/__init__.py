"""Profiles: what to back up, to which repository, when and under which conditions, read from TOML files."""
