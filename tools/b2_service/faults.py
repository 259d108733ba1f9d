"""What goes wrong, on demand: rules for single calls, and conditions of the whole service."""

import fnmatch
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "status",  # answer `status` and `code`, with Retry-After if `retry_after` is given
    "reset upload",  # reset the connection when `after_bytes` of a body were read
    "reset download",  # reset the connection when `after_bytes` of a body were sent
    "short body",  # promise the whole body, end the connection after `after_bytes`
    "long body",  # send more than was promised
    "flip",  # flip a bit of a download
    "silence",  # read the request, say nothing for `seconds`
    "drip",  # send one byte of the answer each `seconds`
    "html",  # answer `status` with a page
    "lose answer",  # do what was asked, then reset the connection
    "latency",  # wait `seconds` before the answer
    "lie",  # do what was asked, answer with what `change` makes of the JSON
)


_CREDIT_SECONDS = 0.05


@dataclass
class Rule:
    """A fault: of a kind, for calls that match a pattern, with a chance, so many times (None: always)."""

    kind: str
    calls: str = "*"
    chance: float = 1.0
    times: int | None = None
    status: int = 503
    code: str = "service_unavailable"
    retry_after: int | None = None
    after_bytes: int = 0
    seconds: float = 3600.0
    after_calls: int = 0
    """How many matching calls pass first."""
    change: Callable[[dict[str, Any]], object] = dict

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of fault: {', '.join(KINDS)}")


class Line:
    """A line of so many bytes per second that all connections share in one direction; None is no limit."""

    def __init__(self) -> None:
        self.bytes_per_second: float | None = None
        self._lock = threading.Lock()
        self._free_at = 0.0

    @property
    def piece(self) -> int:
        """How many bytes to move at once."""
        rate = self.bytes_per_second
        return 1 << 20 if rate is None else int(min(max(rate / 50, 1024), 65536))

    def wait(self, count: int) -> None:
        """Wait until the line has carried so many bytes."""
        rate = self.bytes_per_second
        if rate is None:
            return
        with self._lock:
            now = time.monotonic()
            # A sleep that took too long is made up for, within reason: a real line does not pause either.
            self._free_at = max(self._free_at, now - _CREDIT_SECONDS) + count / rate
            wait = self._free_at - now
        if wait > 0:
            time.sleep(wait)


@dataclass
class Faults:
    """Everything that is wrong at the moment; may be changed at any time; thread-safe."""

    token_seconds: float = 86400.0
    """How long tokens and upload URLs given from now on are good for."""
    full_caps: set[str] = field(default_factory=set)
    """Of "storage", "transaction", "download"."""
    latency_seconds: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        self.up = Line()
        self.down = Line()
        self.hit: list[str] = []
        """Kind and call of each fault so far."""
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)

    def add(self, kind: str, calls: str = "*", **details: object) -> Rule:
        """Add a rule; see Rule for the details."""
        rule = Rule(kind, calls, **details)  # type: ignore[arg-type]
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Drop all rules and conditions."""
        with self._lock:
            self._rules.clear()
        self.full_caps.clear()
        self.latency_seconds = 0.0
        self.token_seconds = 86400.0
        self.up.bytes_per_second = self.down.bytes_per_second = None

    def pick(self, call: str) -> Rule | None:
        """Return the fault that strikes this call, if any."""
        with self._lock:
            for rule in self._rules:
                if not fnmatch.fnmatchcase(call, rule.calls) or rule.times == 0:
                    continue
                if rule.after_calls:
                    rule.after_calls -= 1
                    continue
                if self._random.random() >= rule.chance:
                    continue
                if rule.times is not None:
                    rule.times -= 1
                self.hit.append(f"{rule.kind}: {call}")
                return rule
        return None
