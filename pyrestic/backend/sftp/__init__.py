"""Repositories on SSH servers, by version 3 of the SFTP protocol over the user's `ssh`."""
