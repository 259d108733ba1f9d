"""Repositories in Azure Blob Storage."""
