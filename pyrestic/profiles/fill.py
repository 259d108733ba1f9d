"""Fills in `~`, `${VAR}`, `${VAR:-default}`, `${profile}` and `${host}` in the texts of a profile."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pyrestic.errors import UsageError

_VARIABLE = re.compile(r"\$(\$?)\{([^}]*)\}|\$\{")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_HOME = re.compile(r"^(!?)~(?=/|$)")


class Filler(NamedTuple):
    """The values to fill in."""

    environment: Mapping[str, str]
    profile: str
    host: str

    def fill(self, value: Any) -> Any:  # noqa: ANN401 - any value of TOML
        """Return a value with its texts filled in; raise UsageError. `$${` stands for `${`."""
        if isinstance(value, str):
            return _HOME.sub(self._home, _VARIABLE.sub(self._look_up, value))
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if isinstance(value, dict):
            return {key: self.fill(one) for key, one in value.items()}
        return value

    def _home(self, match: re.Match[str]) -> str:
        home = self.environment.get("HOME", "")
        if not home.startswith("/"):
            raise UsageError("~ cannot be filled in, because HOME is not set")
        return match[1] + home.rstrip("/")

    def _look_up(self, match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        named = _NAME.fullmatch(match[2] or "")
        if named is None:
            raise UsageError(f"{match[0]!r} does not name a variable, as ${{NAME}} or ${{NAME:-default}} do")
        name, default = named.groups()
        value = {**self.environment, "profile": self.profile, "host": self.host}.get(name)
        if not value and default is not None:
            return default
        if value is None:
            raise UsageError(f"the variable {name} is not set; ${{{name}:-TEXT}} would give a default")
        return value
