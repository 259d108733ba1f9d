"""The repository in a browser: look, compare, download, restore; the repository never changes."""
