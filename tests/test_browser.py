"""The pages in a real browser: read, walked through by keyboard, on a phone, and attacked.

Needs Chromium (``PENIN_CHROMIUM``, or on the path), playwright and axe-playwright-python:
``tox -e browser``. ``python tests/test_browser.py`` draws the pictures of the documentation anew.
"""

import base64
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

CHROMIUM = os.environ.get("PENIN_CHROMIUM") or shutil.which("chromium")
ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "assets"
PATHS = ("/", "/runs", "/lineage", "/canary", "/tuner", "/ledger", "/run/nobody", "/nothing")
DESKTOP, PHONE = {"width": 1100, "height": 800}, {"width": 360, "height": 740}
#: What every element is, and the names of its attributes.
STRUCTURE = """() => [...document.querySelectorAll(':not(ins, del)')]
    .map(e => e.tagName + ' ' + e.getAttributeNames().sort().join(' '))"""
#: The share of the pixels in which two pictures differ; 1 where their sizes do.
COMPARED = """async ([one, other]) => {
    const data = []
    for (const source of [one, other]) {
        const image = new Image(); image.src = 'data:image/png;base64,' + source
        await image.decode()
        const canvas = document.createElement('canvas')
        canvas.width = image.width; canvas.height = image.height
        const drawn = canvas.getContext('2d'); drawn.drawImage(image, 0, 0)
        data.push(drawn.getImageData(0, 0, image.width, image.height))
    }
    const [a, b] = data
    if (a.width !== b.width || a.height !== b.height) return 1
    let far = 0
    for (let i = 0; i < a.data.length; i += 4)
        if (Math.abs(a.data[i] - b.data[i]) + Math.abs(a.data[i + 1] - b.data[i + 1])
            + Math.abs(a.data[i + 2] - b.data[i + 2]) > 96) far += 1
    return far / (a.data.length / 4)
}"""

for module in ("playwright.sync_api", "axe_playwright_python.sync_playwright", "penin_dashboard"):
    pytest.importorskip(module, reason=f"{module} is not installed: tox -e browser")
if CHROMIUM is None:
    pytest.skip("there is no chromium on the path, and no PENIN_CHROMIUM", allow_module_level=True)

import uvicorn  # noqa: E402
from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from playwright.sync_api import expect, sync_playwright  # noqa: E402

from penin_core import Views, WORMLedger  # noqa: E402
from penin_core.cli import penin  # noqa: E402
from penin_core.engine import budget  # noqa: E402
from penin_core.pages import money  # noqa: E402
from penin_dashboard.server import application  # noqa: E402


def beside(name):
    """Load a module that lies beside this one."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Site:
    """A state directory that is served, and the run that made its champion."""

    def __init__(self, state, address):
        self.state, self.address = state, address
        with WORMLedger(state / "ledger.db") as ledger:
            runs = ledger.runs()
            won = [run for run in runs if run["kind"] == "challenger"]
            best = min(won, key=lambda run: (run["verdict"] != "promote", -run["idx"]))
            met = next(
                run
                for run in runs
                if run["kind"] == "baseline" and run["cycle_id"] == best["cycle_id"]
            )
        self.run, self.champion = best["id"], met["id"]
        self.paths = (*PATHS, f"/run/{self.run}", f"/compare/{self.champion}/{self.run}")


@contextmanager
def served(state, daily_usd=0.5):
    """Serve a state directory on a port that is free."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    views = Views(state, daily_usd)
    views.overview()
    views.checker.wait()
    config = uvicorn.Config(application(views, port), log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Site(state, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def history(folder):
    """Serve the made-up history, on its last day."""
    showcase = beside("showcase")
    state = showcase.make(folder)
    with (
        mock.patch.object(money, "datetime", showcase.Still),
        mock.patch.object(budget, "datetime", showcase.Still),
        served(state) as site,
    ):
        yield site


@contextmanager
def chromium():
    """Start the browser."""
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with history(tmp_path_factory.mktemp("mail")) as made:
        yield made


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two ledgers that differ in their texts alone: plain words, and an attack in every field."""
    pages = beside("test_pages")
    plain = pages.Recorded(tmp_path_factory.mktemp("plain") / ".penin")
    hostile = pages.Recorded(tmp_path_factory.mktemp("hostile") / ".penin", pages.HOSTILE)
    with served(plain.state) as one, served(hostile.state) as other:
        yield one, other


@pytest.fixture(scope="module")
def browser(site, recorded):
    # Only now: while the browser runs, this thread has an event loop that no cycle could use.
    with chromium() as started:
        yield started


@contextmanager
def watched(browser, **options):
    """Give a page, and hold that it complained of nothing and asked nobody else for anything."""
    complaints = []
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    asked = []
    yield page
    context.close()
    # Chromium itself says where a page is a 404.
    assert [text for text in complaints if "404 (Not Found)" not in text] == []
    hosts = {url.split("/")[2] for url in asked if not url.startswith(("file:", "data:"))}
    assert all(host.startswith("127.0.0.1:") for host in hosts), hosts


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)],
    ids=["light", "dark", "phone", "dark-phone"],
)
def test_axe_finds_nothing_and_nothing_sticks_out(site, browser, scheme, viewport):
    with watched(browser, color_scheme=scheme, viewport=viewport) as page:
        for path in site.paths:
            answer = page.goto(site.address + path)
            assert len(answer.body()) < 300_000
            page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
            found = Axe().run(page)
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path


def test_dark_and_light_are_two_sets_of_colours(site, browser):
    seen = set()
    for scheme in ("light", "dark"):
        with watched(browser, color_scheme=scheme) as page:
            page.goto(site.address)
            seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2


def test_hostile_text_makes_no_element_no_attribute_and_no_request(recorded, browser):
    plain, hostile = recorded
    for before, after in zip(plain.paths, hostile.paths, strict=True):
        with watched(browser) as page:
            page.goto(plain.address + before)
            wanted = page.evaluate(STRUCTURE)
            page.goto(hostile.address + after)
            assert page.evaluate(STRUCTURE) == wanted, after


def test_hostile_text_does_not_break_a_narrow_page(recorded, browser):
    _, hostile = recorded
    with watched(browser, viewport=PHONE) as page:
        for path in hostile.paths:
            page.goto(hostile.address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
            assert Axe().run(page).violations_count == 0, path


def test_three_clicks_lead_from_the_first_page_to_the_proof_of_the_champion(
    site, browser, tmp_path
):
    with watched(browser, accept_downloads=True) as page:
        page.goto(site.address)
        page.get_by_role("link", name="Why is it the champion?").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Promoted")
        needs = page.get_by_role("table", name="6 of 6 conditions hold")
        expect(needs.get_by_text("yes")).to_have_count(6)
        expect(page.get_by_role("img", name="Evidence over tasks")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download its proof").click()
        proof = tmp_path / download.value.suggested_filename
        download.value.save_as(proof)
    policy = site.state / "ledger" / "policy.txt"
    words = ["ledger", "verify", str(proof), "--policy", str(policy)]
    done = CliRunner().invoke(penin, words, catch_exceptions=False)
    assert (done.exit_code, done.output.startswith("valid")) == (0, True), done.output


def focused(page):
    return page.evaluate(
        """() => { const e = document.activeElement, style = getComputedStyle(e)
        return {text: e.textContent.trim(), inside: e.closest('main') !== null,
                outline: style.outlineStyle + ' ' + parseFloat(style.outlineWidth),
                seen: e.getBoundingClientRect().left >= 0} }"""
    )


def test_the_first_tab_offers_to_skip_the_navigation(site, browser):
    with watched(browser) as page:
        page.goto(site.address)
        page.keyboard.press("Tab")
        found = focused(page)
        assert found["text"] == "Skip to the content"
        assert found["seen"]
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert focused(page)["inside"]


def test_the_keyboard_alone_leads_to_every_champion_and_shows_where_it_is(site, browser):
    with watched(browser) as page:
        page.goto(f"{site.address}/lineage")
        stops = []
        for _ in range(20):
            page.keyboard.press("Tab")
            stops.append(focused(page))
            if stops[-1]["text"].startswith("BOOTSTRAP"):
                break
        names = [stop["text"].partition(":")[0] for stop in stops]
        assert names[1:7] == ["Overview", "Runs", "Lineage", "Canary", "Tuner", "Ledger"]
        assert names[7:] == ["PROMOTE", "ROLLBACK", "PROMOTE", "BOOTSTRAP"]
        assert all(stop["outline"] == "solid 3" for stop in stops[1:])
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("The champion, measured")


def test_what_is_folded_opens_by_keyboard(site, browser):
    with watched(browser) as page:
        page.goto(site.address)
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("table", name="Configuration: what runs now")).to_be_visible()


def test_the_report_needs_no_server_and_keeps_its_style(site, browser, tmp_path):
    file = tmp_path / "report.html"
    words = ["report", site.run, "--html", str(file), "--state-dir", str(site.state)]
    assert CliRunner().invoke(penin, words).exit_code == 0
    with watched(browser) as page:
        page.goto(file.as_uri())
        assert page.evaluate("getComputedStyle(document.querySelector('section')).borderRadius")
        assert Axe().run(page).violations_count == 0
        assert page.evaluate("getComputedStyle(document.body).margin") == "0px"


# The pictures of the documentation


def pictures(site, browser):
    """Yield the name of every picture and its bytes."""
    run, narrow = f"/run/{site.run}", {"width": 380, "height": 800}
    wanted = {
        "overview": ("/", "light", {"width": 900, "height": 980}, ""),
        "run": (run, "light", {"width": 900, "height": 820}, ""),
        "evidence": (run, "light", DESKTOP, "The evidence"),
        "calibration": (run, "light", {"width": 560, "height": 800}, "Calibration"),
        "lineage": ("/lineage", "light", {"width": 900, "height": 560}, ""),
        "canary": ("/canary", "light", {"width": 900, "height": 720}, ""),
        "ledger": ("/ledger", "dark", {"width": 900, "height": 640}, ""),
        "phone": (run, "dark", narrow, ""),
    }
    for name, (path, scheme, viewport, title) in wanted.items():
        with watched(browser, color_scheme=scheme, viewport=viewport) as page:
            page.goto(site.address + path)
            shown = page
            if title:
                heading = page.get_by_role("heading", name=title, exact=True, level=2)
                shown = page.locator("section").filter(has=heading)
            yield name, shown.screenshot()


def test_the_pictures_of_the_documentation_show_what_is_there(site, browser):
    """A few pixels may differ: fonts do. Draw them anew with ``python tests/test_browser.py``."""
    with watched(browser) as page:
        for name, drawn in pictures(site, browser):
            kept = (PICTURES / f"dashboard-{name}.png").read_bytes()
            assert len(kept) < 100_000
            both = [base64.b64encode(data).decode() for data in (kept, drawn)]
            assert page.evaluate(COMPARED, both) < 0.02, name


def test_pictures_that_differ_are_told_apart(browser):
    with watched(browser) as page:
        drawn = []
        for colour in ("white", "black"):
            page.set_content(f"<body bgcolor={colour}>")
            drawn.append(base64.b64encode(page.screenshot()).decode())
        assert page.evaluate(COMPARED, [drawn[0], drawn[0]]) == 0
        assert page.evaluate(COMPARED, drawn) == 1


def draw() -> None:
    """Write the pictures."""
    began = time.monotonic()
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        history(Path(folder) / "mail") as site,
        chromium() as browser,
    ):
        for name, drawn in pictures(site, browser):
            (PICTURES / f"dashboard-{name}.png").write_bytes(drawn)
            sys.stdout.write(f"dashboard-{name}.png: {len(drawn):,} bytes\n")
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    draw()
