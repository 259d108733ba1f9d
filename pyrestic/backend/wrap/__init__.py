"""Wrappers of backends: retry, cache, limit, dry run."""
