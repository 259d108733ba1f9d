"""Compiled code: compiles, stores, verifies and calls it. Only the extra `fast` needs it."""
