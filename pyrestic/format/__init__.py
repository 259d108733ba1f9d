"""Bytes of repository files to values and back; no file, clock, environment or thread is touched here."""
