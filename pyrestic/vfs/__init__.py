"""A repository seen as folders and files, for reading only."""
