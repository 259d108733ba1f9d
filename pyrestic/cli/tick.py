"""The quick end of `run --due`, which a timer starts every ten minutes and which nearly always has nothing to do."""

import os
import sys
import time

from pyrestic.localfs.user_folders import find_config_folder, find_state_folder
from pyrestic.runner.quiet import is_quiet

TICK = ["run", "--due"]
_ROOT_FOLDER = "/etc/pyrestic"


def has_nothing_to_do() -> bool:
    """Tell whether the command line is a tick that has nothing to do; without the imports of every other command."""
    if sys.argv[1:] != TICK:
        return False
    root = os.geteuid() == 0 and not os.environ.get("XDG_CONFIG_HOME")
    profiles = _ROOT_FOLDER if root else find_config_folder(os.environ)
    state = find_state_folder(os.environ)
    return bool(profiles and state) and is_quiet(os.path.join(state, "runs.json"), profiles, time.time())
