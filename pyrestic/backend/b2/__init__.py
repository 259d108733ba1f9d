"""Backblaze B2 by its native REST API."""
