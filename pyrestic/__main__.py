"""Entry point of the console script and of `python -m pyrestic`."""

from pyrestic.cli.isolation import leave_current_folder

# Before anything is imported that is not part of Python's core or of this package.
leave_current_folder()

from pyrestic.cli.main import run  # noqa: E402

if __name__ == "__main__":
    run()
