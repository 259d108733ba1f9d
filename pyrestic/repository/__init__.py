"""Blobs in packs over one backend: keys, locks, index, saving and loading."""
