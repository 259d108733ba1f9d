"""Starts a command and tells what it took, as JSON on the descriptor that is its first argument.

A process of its own and a small one: what a process is said to have used at most counts the memory that it had before
the command took its place, which is that of whoever started it. It imports nothing of this project.
"""

import json
import os
import subprocess
import sys
import time


def main() -> None:
    """Run the command in the arguments behind the first."""
    writer = int(sys.argv[1])
    os.set_inheritable(writer, False)
    start = time.perf_counter()
    process = subprocess.Popen(sys.argv[2:])
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    told = {
        "code": process.returncode,
        "wall_seconds": wall,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    os.write(writer, json.dumps(told).encode())


if __name__ == "__main__":
    main()
