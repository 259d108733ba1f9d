"""pyrestic: restic's repository format and command line in pure Python."""

__version__ = "0.1.0"

__all__ = ["__version__"]
