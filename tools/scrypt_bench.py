"""Times the engines that derive a key, with the cost of a key that restic makes.

    python3 tools/scrypt_bench.py             # N=32768, r=8, p=8
    python3 tools/scrypt_bench.py --lanes 5   # p=5

Each round asks every engine once; printed are medians over the rounds, of seconds of the wall and of the processor.
All have to give the same key.
"""

import argparse
import hashlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from pyrestic.native.scrypt import load_code
from pyrestic.native.sources.scrypt import compile_code

N, R = 1 << 15, 8
PASSWORD, SALT = b"password", bytes(64)


def find_engines(p: int) -> dict[str, Callable[[], bytes]]:
    """Return what derives the key, by name."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    compiled = load_code(compile_code() or b"")
    if compiled is None:
        sys.exit("the compiled engine cannot be used here")
    memory = 128 * R * (N + p + 2) + 65536
    return {
        "hashlib": lambda: hashlib.scrypt(PASSWORD, salt=SALT, n=N, r=R, p=p, maxmem=memory, dklen=64),
        "cryptography": lambda: Scrypt(salt=SALT, length=64, n=N, r=R, p=p).derive(PASSWORD),
        "compiled": lambda: compiled(PASSWORD, SALT, N, R, p, 64),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=8, help="p, the times that memory is filled (8)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each engine is asked (7)")
    options = parser.parse_args()
    engines = find_engines(options.lanes)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for _ in range(options.rounds):
        keys = set()
        for name, derive in engines.items():
            wall, processor = time.perf_counter(), time.process_time()
            keys.add(derive())
            taken[name].append((time.perf_counter() - wall, time.process_time() - processor))
        if len(keys) != 1:
            sys.exit("the engines disagree")
    for name, pairs in taken.items():
        wall, processor = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"{name:<14} {wall:.3f} s wall {processor:.3f} s CPU")


if __name__ == "__main__":
    main()
