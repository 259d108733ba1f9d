"""The repository as pages for a browser: look, compare, download, restore; nothing of the repository is changed."""
