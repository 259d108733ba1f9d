"""Repositories in Google Cloud Storage."""
