"""Converts bytes of repository files to values and back, without files, clocks, environment or threads."""
