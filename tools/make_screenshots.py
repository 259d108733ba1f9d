"""Makes the pictures of docs/serve.md: the pages of `pyrestic serve` with the made-up home of make_home.py.

    python3 tools/make_screenshots.py

Run it in the environment that tools/run_tests.py makes; Debian's chromium draws.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page  # noqa: E402 - the checkout need not be installed

from tests.support.chromium import running_browser  # noqa: E402
from tests.support.restic import find_pyrestic  # noqa: E402
from tests.support.webserver import WebServer, serving  # noqa: E402
from tools.make_home import HOME, PICTURE, PLAN, make_home  # noqa: E402

FOLDER = Path("/tmp/pyrestic-home")
"""Stands at the foot of the pages, therefore a plain name."""
PICTURES = ROOT / "docs" / "serve"


@dataclass(frozen=True)
class Shot:
    """A picture: its name, the page (NEWEST and OLDEST stand for snapshots), its width and height, and the colours."""

    name: str
    target: str
    width: int = 1100
    height: int = 640
    scheme: str = "light"


SHOTS = (
    Shot("snapshots", "/"),
    Shot("folder", f"/files/NEWEST{HOME}", height=520, scheme="dark"),
    Shot("versions", f"/files/NEWEST{PLAN}", height=700),
    Shot("image", f"/files/NEWEST{PICTURE}", scheme="dark"),
    Shot("compare", f"/compare/OLDEST/NEWEST{PLAN}", height=560),
    Shot("size", "/size"),
    Shot("phone", f"/files/NEWEST{PLAN}", width=360, height=740),
)


def draw(browser: Browser, server: WebServer) -> None:
    """Draw all pictures."""
    name, _, value = server.cookie.partition("=")
    for shot in SHOTS:
        context = browser.new_context(
            viewport={"width": shot.width, "height": shot.height},
            color_scheme="dark" if shot.scheme == "dark" else "light",
        )
        context.add_cookies([{"name": name, "value": value, "url": server.base}])
        page = context.new_page()
        page.goto(server.base)
        page.goto(server.base + name_snapshots(page, shot.target), wait_until="networkidle")
        page.screenshot(path=PICTURES / f"{shot.name}.png")
        context.close()


def name_snapshots(page: Page, target: str) -> str:
    """Return the page's address with real snapshots in it, read from the first page."""
    cards = page.locator(".card-time")
    for word, card in (("NEWEST", cards.first), ("OLDEST", cards.last)):
        digits = (card.get_attribute("href") or "").split("/")[2]
        target = target.replace(word, digits)
    return target


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    FOLDER.mkdir()
    try:
        repository = make_home(FOLDER)
        with running_browser() as browser, serving(find_pyrestic(FOLDER), repository) as server:
            server.enter()
            draw(browser, server)
    finally:
        shutil.rmtree(FOLDER)
    for shot in SHOTS:
        path = PICTURES / f"{shot.name}.png"
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
