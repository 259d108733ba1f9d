"""Everything on the pages, clicked through in a real browser."""

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.support.chromium import running_browser
from tests.support.restic import Program
from tests.support.runner_machine import PROFILES, RunnerMachine
from tests.support.sourcetree import describe, difference
from tests.support.webserver import WebServer, serving
from tests.web.conftest import HOSTILE

pytestmark = pytest.mark.browser

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
PLAN = "Projects/garden/plan.md"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this module."""
    with running_browser() as running:
        yield running


NewContext = Callable[..., BrowserContext]


@pytest.fixture
def new_context(browser: Browser, server: WebServer) -> Iterator[NewContext]:
    """Makes windows of a browser that was let in; no page may say an error or ask for anything foreign."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []
    name, _, value = server.cookie.partition("=")

    def make(**settings: object) -> BrowserContext:
        context = browser.new_context(**{"viewport": DESK, **settings})  # type: ignore[arg-type]
        context.set_default_timeout(30_000)
        context.add_cookies([{"name": name, "value": value, "url": server.base}])
        context.on("console", lambda message: _note(problems, message))
        context.on("weberror", lambda error: problems.append(str(error.error)))
        context.on("dialog", lambda dialog: problems.append(dialog.message))
        context.on(
            "request", lambda each: None if each.url.startswith(server.base) else problems.append(f"asked {each.url}")
        )
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert problems == []


def _note(problems: list[str], message: ConsoleMessage) -> None:
    """Keep what a page complains of; that a form was refused with a sentence is no complaint."""
    if message.type == "error" and "400 (Bad Request)" not in message.text:
        problems.append(message.text)


@pytest.fixture
def page(new_context: NewContext, server: WebServer) -> Page:
    """The first page, in a window of its own."""
    page = new_context().new_page()
    page.goto(server.base)
    return page


def open_home(page: Page) -> None:
    """Go from the first page to the folder in the newest snapshot."""
    page.locator(".card-time").first.click()
    expect(page.locator("h1")).to_have_text("ann")


def open_file(page: Page, path: str) -> None:
    """Go from the folder to a file below it, click by click."""
    for name in path.split("/"):
        page.get_by_role("link", name=name, exact=True).click()
    expect(page.locator("h1")).to_have_text(path.rpartition("/")[2])


def names(page: Page) -> list[str]:
    """Return the names of the table, top down."""
    return [text.strip() for text in page.locator("tbody .col-name bdi").all_inner_texts()]


def test_the_link_lets_a_browser_in_and_no_second_one(browser: Browser, repository: Path, pyrestic: Program) -> None:
    with serving(pyrestic, repository) as server:
        for lets_in in (True, False):
            context = browser.new_context()
            page = context.new_page()
            page.goto(server.link)
            expect(page.locator("h1")).to_have_text("Snapshots" if lets_in else "This link has already been used.")
            assert "token" not in page.evaluate("document.cookie + location.href") or not lets_in
            context.close()


def test_snapshots_stand_in_time_and_can_be_chosen_by_month_and_tag(page: Page) -> None:
    expect(page.locator(".card")).to_have_count(26)
    assert page.locator("time").first.get_attribute("datetime", timeout=1000).startswith("2026-03-01T")  # type: ignore[union-attr]
    page.get_by_role("navigation", name="Months").get_by_role("link", name="2025-11").click()
    expect(page.locator(".card")).to_have_count(5)
    page.get_by_label("Tag").select_option("monthly")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".card")).to_have_count(7)
    page.get_by_role("link", name="Reset").click()
    expect(page.locator(".card")).to_have_count(26)


def test_a_folder_is_sorted_filtered_and_walked_through(page: Page) -> None:
    open_home(page)
    assert names(page) == ["Documents", HOSTILE, "Music", "Pictures", "Projects", "notes.txt", "plan"]
    page.get_by_role("link", name="Music", exact=True).click()
    takes = [f"take {number}.flac" for number in range(1, 6)]
    assert names(page) == takes
    heading = page.get_by_role("columnheader", name="Modified")
    heading.get_by_role("link").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert names(page) == takes[::-1]
    heading.get_by_role("link").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert names(page) == takes
    page.get_by_label("Filter names in this folder").fill("E 3")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert names(page) == ["take 3.flac"]
    page.get_by_role("navigation", name="Path").get_by_role("link", name="home").click()
    assert names(page) == ["ann"]


def test_keys_are_enough(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    open_home(page)
    page.wait_for_load_state()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect(page.get_by_role("link", name="Projects", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Projects")
    # Keys are listened to once all of a page is there.
    page.wait_for_load_state()
    page.keyboard.press("Backspace")
    expect(page.locator("h1")).to_have_text("ann")
    page.wait_for_load_state()
    page.keyboard.press("/")
    expect(page.get_by_label("Search names in all snapshots")).to_be_focused()


def test_names_are_found_in_all_snapshots(page: Page) -> None:
    page.get_by_label("Search names in all snapshots").fill("TO BOB")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(9)
    expect(page.get_by_role("status")).to_contain_text("9 paths found")
    page.get_by_role("link", name="to Bob 4.txt").click()
    expect(page.locator("pre")).to_contain_text("Dear Bob")
    page.get_by_label("Search names in all snapshots").fill("take ?.flac")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(5)


def test_all_versions_of_a_file_stand_beside_it_and_are_compared(page: Page) -> None:
    open_home(page)
    open_file(page, PLAN)
    panel = page.get_by_role("region", name="Versions")
    expect(panel.locator(".version")).to_have_count(8)
    expect(panel.locator(".current time").first).to_contain_text("2026-03-01")
    expect(page.locator("pre")).to_contain_text("three kinds")
    panel.locator(".version").nth(6).get_by_role("link").first.click()
    expect(page.locator("pre")).not_to_contain_text("three kinds")
    expect(panel.locator(".current time").first).to_contain_text("2025-09-14")
    panel.locator(".version").nth(4).get_by_role("link", name="Compare").click()
    expect(page.locator("h1")).to_have_text("Two versions of plan.md")
    expect(page.locator(".line-new", has_text="three kinds")).to_have_count(1)
    expect(page.locator(".line-new mark", has_text="three kinds")).to_have_count(1)
    expect(page.locator(".line-old", has_text="ask Bob for his ladder")).to_have_count(1)
    old, new = (head.locator("time").first.inner_text() for head in page.locator(".compare-head").all())
    assert old < new


def test_a_file_that_was_away_came_back(page: Page) -> None:
    open_home(page)
    open_file(page, "notes.txt")
    panel = page.get_by_role("region", name="Versions")
    expect(panel.locator(".version")).to_have_count(3)
    expect(panel.locator(".absence")).to_have_count(2)
    expect(panel.locator(".current")).to_contain_text("came back")


def test_another_date_of_the_same_place_is_chosen_on_the_timeline(page: Page) -> None:
    open_home(page)
    open_file(page, "Documents/Accounts")
    page.get_by_role("link", name="Earlier").click()
    expect(page.locator(".crumbs")).to_contain_text("2026-02-22")
    page.get_by_role("link", name="Other date").click()
    page.locator(".card-time").last.click()
    expect(page.locator("h1")).to_have_text("Accounts")
    expect(page.locator(".crumbs")).to_contain_text("2025-09-07")


def test_images_are_shown_and_compared(page: Page) -> None:
    open_home(page)
    open_file(page, "Pictures/Lake/evening.png")
    shown = "image => image.decode().then(() => image.naturalWidth)"
    assert page.get_by_role("img", name="The content of evening.png").evaluate(shown) == 360
    page.get_by_role("region", name="Versions").get_by_role("link", name="Compare").first.click()
    for name in ("The older version", "The newer version"):
        assert page.get_by_role("img", name=name).evaluate(shown) == 360


def download(page: Page, link: str) -> tuple[str, bytes]:
    """Click a link and return name and content of what is kept."""
    with page.expect_download() as waiting:
        page.get_by_role("link", name=link, exact=True).first.click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_files_of_any_date_and_folders_are_downloaded(page: Page, repository: Path) -> None:
    home = repository.parent / "home" / "ann"
    open_home(page)
    name, packed = download(page, "Zip")
    assert name == "ann 2026-03-01.zip"
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert archive.read(f"ann/{PLAN}") == (home / PLAN).read_bytes()
    name, packed = download(page, "Tar")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        member = tar.extractfile("ann/Music/take 2.flac")
        assert member is not None
        assert member.read() == (home / "Music" / "take 2.flac").read_bytes()
        assert tar.getmember("ann/plan").linkname == PLAN
    open_file(page, PLAN)
    assert download(page, "Download") == ("plan.md", (home / PLAN).read_bytes())
    old = page.get_by_role("region", name="Versions").locator(".version").last
    with page.expect_download() as waiting:
        old.get_by_role("link", name="Download").click()
    assert b"three kinds" not in Path(waiting.value.path()).read_bytes()


def test_a_snapshot_says_what_it_added_and_what_changed(page: Page) -> None:
    page.get_by_role("link", name=re.compile("1 changed")).first.click()
    expect(page.locator("h1")).to_contain_text("2026-02-22")
    expect(page.locator(".sums")).to_contain_text("New files")
    rows = page.locator("tbody tr")
    expect(rows.filter(has_text="household.csv")).to_contain_text("changed")
    expect(rows.filter(has_text="to Bob 9.txt")).to_contain_text("new")
    page.get_by_role("link", name=re.compile("household.csv")).click()
    expect(page.locator("h1")).to_have_text("Two versions of household.csv")
    page.goto(page.url.partition("/compare")[0])
    page.locator(".card-sums").last.click()
    expect(page.get_by_role("heading", name="First snapshot")).to_be_visible()


def test_the_growth_is_drawn(page: Page) -> None:
    page.get_by_role("link", name="Size", exact=True).click()
    plot = page.get_by_role("img", name=re.compile("Total data added by snapshots"))
    box = plot.locator(".curve").bounding_box()
    assert box is not None
    assert box["width"] > 600
    assert box["height"] > 80
    expect(page.locator("tbody tr")).to_have_count(7)
    page.get_by_role("link", name="2025-12").click()
    expect(page.locator(".card")).to_have_count(4)


def test_a_folder_is_restored_after_a_look_at_what_it_takes(page: Page, repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "place"
    open_home(page)
    page.get_by_role("link", name="Documents", exact=True).click()
    page.get_by_role("link", name="Restore", exact=True).click()
    expect(page.get_by_label("Folder to restore to")).to_have_value(re.compile("/restored$"))
    page.get_by_label("Folder to restore to").fill(str(target))
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator(".success")).to_contain_text("The repository has all the data")
    expect(page.locator(".sums")).to_contain_text("Files to write")
    assert not target.exists()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("status")).to_contain_text("Everything was restored")
    expect(page.get_by_role("status")).to_contain_text("11 files verified")
    home = repository.parent / "home" / "ann"
    assert difference(describe(home / "Documents"), describe(target / "Documents")) == []


def test_an_old_version_is_restored_and_what_is_there_is_kept_unless_told_otherwise(page: Page, tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("mine")
    open_home(page)
    open_file(page, PLAN)
    page.get_by_role("region", name="Versions").locator(".version").last.get_by_role("link").first.click()
    for choice, text in (("keep it", "mine"), ("replace it if it differs", "Beans along the wall")):
        page.get_by_role("link", name="Restore", exact=True).click()
        page.get_by_label("Folder to restore to").fill(str(tmp_path))
        page.get_by_label(choice).check()
        page.get_by_role("button", name="Show the plan").click()
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("status")).to_contain_text("Everything was restored")
        assert text in (tmp_path / "plan.md").read_text()
        (dated,) = tmp_path.glob("plan_2*.md")
        assert "Beans along the wall" in dated.read_text()
        page.get_by_role("link", name="Show its original folder").click()
    page.get_by_role("link", name="Restores").click()
    expect(page.locator("tbody tr", has_text=str(tmp_path))).to_have_count(2)


def test_a_restore_can_be_given_up_and_a_wrong_target_is_a_sentence(page: Page, tmp_path: Path) -> None:
    open_home(page)
    open_file(page, "notes.txt")
    page.get_by_role("link", name="Restore", exact=True).click()
    page.get_by_label("Folder to restore to").fill("somewhere")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("alert")).to_contain_text("absolute path")
    page.get_by_label("Folder to restore to").fill(str(tmp_path))
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("main")).to_contain_text("canceled before anything was written")
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_a_hostile_folder_runs_or_leads_elsewhere(page: Page) -> None:
    open_home(page)
    page.get_by_role("link", name=HOSTILE).click()
    count = page.locator("tbody tr").count()
    assert count == 13
    for number in range(count):
        page.locator("tbody tr").nth(number).get_by_role("link").click()
        expect(page.get_by_role("region", name="Versions").locator(".version")).to_have_count(1)
        assert "owned" not in page.title()
        page.go_back()
    shown = page.locator("tbody a", has_text="gif and script").get_attribute("href") or ""
    page.goto(page.url.partition("/files/")[0] + shown.replace("/files/", "/image/"))
    assert "owned" not in page.title()


def test_without_script_everything_is_a_link_further(new_context: NewContext, server: WebServer) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(server.base)
    open_home(page)
    open_file(page, PLAN)
    page.get_by_role("link", name="Show all versions").click()
    expect(page.locator(".version")).to_have_count(8)
    page.get_by_role("link", name="Compare").last.click()
    expect(page.locator("h1")).to_have_text("Two versions of plan.md")


def visit_all(page: Page) -> Iterator[str]:
    """Go through all kinds of pages, and say where each time."""
    base = page.url.rstrip("/")
    newest = (page.locator(".card-time").first.get_attribute("href") or "").split("/")[2]
    oldest = (page.locator(".card-time").last.get_attribute("href") or "").split("/")[2]
    for target in (
        "/",
        f"/files/{newest}/home/ann",
        f"/files/{newest}/home/ann/{PLAN}",
        f"/files/{newest}/home/ann/Pictures/Lake/evening.png",
        f"/versions/{newest}/home/ann/notes.txt",
        f"/compare/{oldest}/{newest}/home/ann/{PLAN}",
        f"/compare/{oldest}/{newest}/home/ann/Pictures/Lake/evening.png",
        f"/snapshot/{newest}",
        "/search?q=bob",
        "/size",
        f"/restore/{newest}/home/ann/Documents",
        "/restores",
    ):
        page.goto(base + target)
        expect(page.locator("[aria-busy]")).to_have_count(0)
        yield target


def test_no_page_is_wider_than_a_phone(new_context: NewContext, server: WebServer) -> None:
    page = new_context(viewport=PHONE, has_touch=True, is_mobile=True).new_page()
    page.goto(server.base)
    for target in visit_all(page):
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], target


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(new_context: NewContext, server: WebServer, scheme: str) -> None:
    # The checker is put into the pages from outside, which their own policy would not let it.
    page = new_context(color_scheme=scheme, bypass_csp=True).new_page()
    page.goto(server.base)
    axe = Axe()
    for target in visit_all(page):
        found = axe.run(page).response["violations"]
        serious = [
            (each["id"], [node["html"][:200] for node in each["nodes"]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], target


def test_the_first_page_shows_the_profiles(browser: Browser, tmp_path: Path) -> None:
    machine = RunnerMachine(tmp_path)
    machine("run", "home", "--task", "backup")
    machine.write(PROFILES.replace('every = "off"', "") + '[profile.away]\nrepo = "{folder}/<i>away"\n')
    with serving(machine.program, None, "-P", "home", **machine.variables) as server:
        # Without scripts, which they do not need.
        context = browser.new_context(viewport={"width": 360, "height": 740}, java_script_enabled=False)
        page = context.new_page()
        page.goto(server.link)
        profiles = page.get_by_role("region", name="State of the profiles")
        expect(profiles.get_by_role("columnheader")).to_have_text(
            ["profile", "last good backup", "due", "kept", "size", "place", "checked", "drill"]
        )
        rows = [row.get_by_role("cell").all_inner_texts() for row in profiles.get_by_role("row").all()[1:]]
        assert rows[0][0].endswith(("just now", "ago"))
        assert rows[0][2:3] + rows[0][4:] == ["1", str(machine.repository), "never", "never"]
        assert rows[1] == ["never", "by hand", "-", "-", f"{machine.folder}/<i>away", "never", "never"]
        said = page.get_by_role("region", name="Profiles", exact=True).get_by_role("listitem")
        expect(said).to_have_text(["home: all well.", "away: all well."])
        # It is the state now, and only on the first page.
        record = json.loads((machine.state / "runs.json").read_text())
        record["profiles"]["home"]["tasks"]["backup"] |= {"code": 1, "error": "no <b>disk", "failures": 1}
        (machine.state / "runs.json").write_text(json.dumps(record))
        page.reload()
        assert "home: backup failed: no <b>disk (" in said.first.inner_text()
        page.goto(f"{server.base}/?host=other")
        expect(profiles).to_have_count(0)
        context.close()
