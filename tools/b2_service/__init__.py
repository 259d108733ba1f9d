"""A B2 service for tests and trials: the parts of tools/b2_server.py."""
