"""Buckets of S3 and of the many services that speak its protocol."""
