"""Read-only access to a repository as folders and files."""
