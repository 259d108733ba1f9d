"""Repositories in OpenStack Swift."""
