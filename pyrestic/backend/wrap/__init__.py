"""Backends around a backend: retry, cache, limit, dry run."""
