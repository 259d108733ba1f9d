"""pyrestic serve: the repository in a browser."""

import os
import re
import sys
import time
from typing import TYPE_CHECKING

from pyrestic.backend.location import LOCAL
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import optional_text, text, texts
from pyrestic.cli.history_index import opened_index
from pyrestic.cli.session import find_location, opened
from pyrestic.errors import PyresticError, UnsupportedError, UsageError
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.repository.locking import LockMode

if TYPE_CHECKING:
    from pyrestic.web.profiles import LookAtProfiles

_DEFAULT = "127.0.0.1:8421"


class ServeFlags(SnapshotFlags):
    """The flags of serve."""

    allow_host: tuple[str, ...] = texts(
        "--allow-host", value="HOST", help="also accept requests for this host name, for a reverse proxy"
    )
    listen: str = text(
        "--listen",
        value="ADDRESS",
        default=_DEFAULT,
        help=f"address and port to listen on (default: {_DEFAULT}; port 0: any)",
    )
    restore_below: str | None = optional_text(
        "--restore-below",
        value="FOLDER",
        help="allow restores only below FOLDER (default: anywhere on a loopback address)",
    )


@define("serve", "Show the repository in a browser.", ServeFlags)
def command(app: App, flags: ServeFlags) -> None:
    """Serve until interrupted."""
    try:
        import defusedxml  # noqa: F401 - only whether it is there
        import jinja2  # noqa: F401 - only whether it is there
        import starlette  # noqa: F401 - only whether it is there
        import uvicorn  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise UnsupportedError(
            f"serve needs {error.name}", hint="Install it with: pip install 'pyrestic[web]'"
        ) from error
    from pyrestic.localfs.target_root import TargetRoot
    from pyrestic.web.access import ServerSecrets
    from pyrestic.web.app import make_app
    from pyrestic.web.dav import dav_routes
    from pyrestic.web.jobs import Restores, TargetRules
    from pyrestic.web.server import open_socket, serve
    from pyrestic.web.site import Site

    settings = app.settings
    wanted = flags.wanted(settings.environment)
    address, port = _parse_listen(flags.listen)
    with open_socket(address, port) as listener:
        port = listener.getsockname()[1]
        with (
            opened(app.settings, app.terminal, LockMode.READ, load_index=True) as session,
            opened_index(app.settings, session) as index,
        ):
            _say(app, "Loading snapshots...")
            title = str(find_location(app.settings))
            profiles = _look_at_profiles(app)
            site = Site(session.repository, wanted, app.terminal, title=title, index=index, profiles=profiles)
            access = ServerSecrets(port, flags.allow_host)
            below, own = _restore_folder(flags.restore_below, address), _own_folders(app)
            root = TargetRoot(below, own) if below else None
            rules = TargetRules(below, own, _suggestion(app, flags.restore_below), root)
            restores = Restores(
                session.repository,
                rules,
                app.terminal,
                state_folder=find_state_folder(settings.environment),
            )
            _announce(app, address, port, access.token, access.password)
            try:
                serve(make_app(site, access, restores, dav_routes(site)), listener, access)
            finally:
                site.close()
                if root is not None:
                    root.close()


def _look_at_profiles(app: App) -> "LookAtProfiles":
    """Return the function by which the first page shows the profiles, if one of them is used."""
    # Only serve needs both, and nothing else of it does.
    from pyrestic.cli.month_costs import make_cost_finder
    from pyrestic.profiles.load import load_profiles
    from pyrestic.runner.overview import make_overview
    from pyrestic.runner.state import RunStore
    from pyrestic.web.profiles import ProfileStates

    settings, folder = app.settings, find_state_folder(os.environ)

    def look() -> ProfileStates | None:
        if not app.profile or not folder:
            return None
        try:
            profiles = list(load_profiles(os.environ, settings.config).by_name.values())
            overview = make_overview(profiles, RunStore(folder), time.time(), make_cost_finder(os.environ))
        except PyresticError as error:
            return ProfileStates((), (), [f"The profiles cannot be shown: {error}"], well=False)
        return ProfileStates(*overview.table(), overview.sentences(), well=overview.exit_code == 0)

    return look


def _announce(app: App, address: str, port: int, token: str, password: str) -> None:
    shown = f"[{address}]" if ":" in address else address
    if address in ("0.0.0.0", "::"):  # noqa: S104 - only looked at
        shown = "localhost"
    _say(app, "Open this link in your browser; it works once:")
    _say(app, f"  http://{shown}:{port}/enter?token={token}")
    _say(app, f"WebDAV for reading at http://{shown}:{port}/dav/ for any user name, with this password:")
    _say(app, f"  {password}")
    if not _is_loopback(address):
        app.terminal.complain(
            "Warning: others on the network can read the traffic, including the link. An SSH tunnel to this machine "
            "(ssh -L) is safer."
        )
    _say(app, "Quit with Ctrl-C here.")


def _restore_folder(given: str | None, address: str) -> str:
    """Return the folder to which restores are limited, "" for none; raise UsageError if it is not a folder."""
    if given is None:
        return "/" if _is_loopback(address) else ""
    if not os.path.isdir(given):
        raise UsageError(f"--restore-below {given}: not a folder")
    return os.path.realpath(given)


def _own_folders(app: App) -> tuple[str, ...]:
    """Return the folders that no restore may touch: that of a local repository."""
    location = find_location(app.settings)
    return (os.path.realpath(location.address),) if location.scheme == LOCAL else ()


def _suggestion(app: App, given: str | None) -> str:
    base = os.path.realpath(given) if given is not None else app.settings.environment.get("HOME", "")
    return os.path.join(base, "restored") if base.startswith("/") else ""


def _is_loopback(address: str) -> bool:
    return address == "localhost" or address == "::1" or address.startswith("127.")


def _parse_listen(text: str) -> tuple[str, int]:
    """Return address and port; raise UsageError."""
    address, colon, port = text.rpartition(":")
    if not colon or not address or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise UsageError(f"--listen {text}: not an address and a port, such as {_DEFAULT}")
    return address.removeprefix("[").removesuffix("]"), int(port)


def _say(app: App, text: str) -> None:
    """Print a message even with --quiet and --json, and flush it: a script may wait for it."""
    app.terminal.print(text)
    sys.stdout.flush()
