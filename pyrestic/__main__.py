"""Entry point of the console script and of `python -m pyrestic`."""

import sys

if sys.platform != "linux":
    sys.exit(f"Fatal: pyrestic runs on Linux only, not on {sys.platform}")

from pyrestic.cli.isolation import leave_current_folder

# Before any import from outside Python's core and this package.
leave_current_folder()

import os  # noqa: E402
import signal  # noqa: E402
from types import FrameType  # noqa: E402


def _end(_number: int, _frame: FrameType | None) -> None:
    """End at once: nothing has started during the imports."""
    os._exit(130)


for _signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_signal) != signal.SIG_IGN:
        signal.signal(_signal, _end)

from pyrestic.cli.tick import has_nothing_to_do  # noqa: E402

if has_nothing_to_do():
    os._exit(0)

from pyrestic.cli.main import run  # noqa: E402

if __name__ == "__main__":
    run()
