"""Entry point of `python -m pyrestic`."""

from pyrestic.cli.main import run

if __name__ == "__main__":
    run()
