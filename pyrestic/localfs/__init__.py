"""Files of this machine: the only code that calls stat, listxattr, chown."""
