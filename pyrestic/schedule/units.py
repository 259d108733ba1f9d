"""The texts of the units: one timer for all profiles, and the service that it starts."""

import re
from collections.abc import Mapping, Sequence

from pyrestic.localfs.own_text import mark

TIMER = "pyrestic.timer"
SERVICE = "pyrestic.service"
_PLAIN = re.compile(r"[^\\\"'$\x00-\x1f]+")
_SENTENCE = "Written by `pyrestic schedule`, which also removes it. For changes use `systemctl edit`."

_TIMER = """\
[Unit]
Description=Run the backup tasks that are due

[Timer]
OnCalendar=*:0/10
OnStartupSec=2min
RandomizedDelaySec=60
FixedRandomDelay=true
AccuracySec=1min

[Install]
WantedBy=timers.target
"""
_SERVICE = """\
[Unit]
Description=Backup tasks that are due

[Service]
Type=oneshot
ExecStart={command}
{settings}Nice=19
CPUSchedulingPolicy=batch
IOSchedulingClass=idle
CPUWeight=20
IOWeight=20
UMask=0077
SuccessExitStatus=3 130
TimeoutStopSec=150
KillMode=mixed
"""


def make_units(words: Sequence[str], variables: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of the units by name.

    The service runs the command in `words` with these variables; `credentials` are paths by name.
    """
    settings = [f"Environment={quote_word(f'{name}={value}', variable=True)}" for name, value in variables.items()]
    settings += [f"LoadCredential={_escape(f'{name}:{path}')}" for name, path in sorted(credentials.items())]
    if not _PLAIN.fullmatch(words[0]):
        # Systemd starts no program with quotes or backslashes in its path, and fills in no variable there.
        words = ["/usr/bin/env", *words]
    service = _SERVICE.format(
        command=" ".join(quote_word(word) for word in words),
        settings="".join(f"{line}\n" for line in settings),
    )
    return {TIMER: mark(_TIMER, _SENTENCE), SERVICE: mark(service, _SENTENCE)}


def quote_word(word: str, *, variable: bool = False) -> str:
    """Return a word as units write it; in a command, unlike in a variable, systemd also fills in `$`."""
    escaped = _escape(word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
    if not variable:
        escaped = escaped.replace("$", "$$")
    return escaped if re.fullmatch(r"[\w@%+=:,./$-]+", escaped, re.ASCII) else f'"{escaped}"'


def _escape(text: str) -> str:
    return text.replace("%", "%%")
