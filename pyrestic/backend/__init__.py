"""Storage of named files. Backends know handles and bytes, not the meaning of the files."""
