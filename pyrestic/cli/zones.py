"""The zone in TZ, found as Go's library finds it."""

import os
import time

_ZONE_FOLDERS = ("/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo")
LOCAL_ZONE = "/etc/localtime"


def zone_file(variable: str | None) -> str:
    """Return the zone file for a value of TZ, "" for UTC; None means the local zone."""
    if variable is None:
        return LOCAL_ZONE if os.path.exists(LOCAL_ZONE) else ""
    name = variable.removeprefix(":")
    if not name or name == "UTC":
        return ""
    paths = [name] if name.startswith("/") else [f"{folder}/{name}" for folder in _ZONE_FOLDERS]
    return next((path for path in paths if os.path.isfile(path)), "")


def use_zone() -> None:
    """Use UTC if TZ names no zone, as in restic: C's library would parse it as a rule, such as CET-1CEST."""
    if "TZ" in os.environ and not zone_file(os.environ["TZ"]):
        os.environ["TZ"] = "UTC"
        time.tzset()
