"""Compiled code: how it is compiled, kept, checked and called. Only the extra `fast` needs it."""
