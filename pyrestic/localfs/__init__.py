"""Local files: the only code that calls stat, listxattr, chown."""
