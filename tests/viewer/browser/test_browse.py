"""The page with all packages in a real browser: by keyboard alone, without network, when narrow."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nibabel
import numpy as np
import pytest

import nibabel_data.viewer as v
from nibabel_data.package.manifest import MANIFEST, hash_files, manifest_text, package_files
from nibabel_data.viewer.browse import CataloguePage

from .pages import browser as browser

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "nipy-examplepkg"
READY = "viewer.layerManager.managedLayers.length >= 1 && viewer.isReady()"


MakePackage = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "root"
    shutil.copytree(EXAMPLE / "nipy", root / "nipy")
    make_package(relpath="lab/atlas", version="2.1", files=("README", "a/b/deep.txt"))
    voxels = np.random.default_rng(0).integers(1, 999, (24, 28, 20)).astype("i2")
    for name in ("T1.nii.gz", "a/T2.nii"):
        image: Any = nibabel.Nifti1Image(voxels, np.diag((2, 2, 2, 1)))
        nibabel.save(image, root / "lab" / "atlas" / name)
    make_package(relpath="lab/broken", config="version 3\n")
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    return root


@pytest.fixture
def served(root: Path) -> Iterator[CataloguePage]:
    with CataloguePage() as page:
        yield page
    v.stop()


class Tab:
    """A tab, and what went wrong in it or left this machine."""

    def __init__(self, browser: Any, served: CataloguePage, **options: Any) -> None:
        self.errors: list[str] = []
        self.context = browser.new_context(viewport={"width": 1200, "height": 800}, **options)
        self.context.route(lambda url: urlsplit(url).hostname != "127.0.0.1", self._elsewhere)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.goto(served.url)
        self.until("document.querySelector('#count').textContent.match(/packages|None yet/)")

    def until(self, condition: str) -> None:
        """Wait; Playwright's own way is by a text that the policy of the page does not let run."""
        end = time.monotonic() + 20
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)

    def _elsewhere(self, route: Any) -> None:
        self.errors.append(f"asked for {route.request.url}")
        route.abort()

    def _note(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.errors.append(message.text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focused(self) -> str:
        text: str = self.page.evaluate("document.activeElement.innerText")
        return text

    def shown(self) -> list[str]:
        names: list[str] = self.page.locator("#list li:visible .name").all_inner_texts()
        return names

    def tab_to(self, text: str) -> None:
        for _ in range(40):
            if text in self.focused():
                return
            self.press("Tab")
        raise AssertionError(f"{text} is not reached by Tab")


@pytest.fixture
def tab(browser: Any, served: CataloguePage) -> Iterator[Tab]:
    tab = Tab(browser, served)
    yield tab
    tab.context.close()
    assert tab.errors == []


def test_from_the_address_to_an_image_in_the_viewer_by_keyboard_alone(tab: Tab) -> None:
    assert tab.shown() == ["lab/atlas", "lab/broken", "nipy/examplepkg"]
    tab.press("/")
    tab.page.keyboard.type("atl")
    assert tab.shown() == ["lab/atlas"]
    assert tab.page.locator("#count").inner_text() == "1 of 3 packages"
    tab.press("ArrowDown", "Enter")
    tab.page.wait_for_selector(".card")
    assert tab.focused() == "lab/atlas 2.1"  # the heading: what is read aloud next is the package
    tab.tab_to("T1.nii.gz")
    with tab.context.expect_page() as opened:
        tab.press("Enter")
    viewer = opened.value
    viewer.wait_for_url("**/v/*/")
    viewer.wait_for_function(READY, timeout=60_000, polling=50)
    name = "viewer.layerManager.managedLayers[0].name"
    assert viewer.evaluate(name) == "T1"
    assert tab.page.url.split("#")[0].endswith("/")  # the list is still here


def test_arrows_move_along_the_list_and_escape_leads_back(tab: Tab) -> None:
    tab.press("/", "ArrowDown")
    assert tab.focused().startswith("lab/atlas")
    tab.press("ArrowDown", "ArrowDown", "ArrowDown")
    assert tab.focused().startswith("nipy/examplepkg")
    tab.press("Home")
    assert tab.focused().startswith("lab/atlas")
    tab.press("End", "Enter")
    tab.page.wait_for_selector(".card")
    assert tab.focused().startswith("nipy/examplepkg")
    tab.press("Escape")
    assert tab.page.evaluate("document.activeElement.matches('#list a[aria-current]')")
    tab.press("Home", "ArrowUp")
    assert tab.page.evaluate("document.activeElement.id") == "filter"
    tab.page.keyboard.type("zzz")
    assert tab.shown() == []
    tab.press("Escape")
    assert len(tab.shown()) == 3


def test_only_one_entry_of_the_list_is_a_stop_of_tab(tab: Tab) -> None:
    assert tab.page.locator("#list a[tabindex='0']").count() == 1
    tab.press("/", "ArrowDown", "ArrowDown")
    assert tab.page.locator("#list a[tabindex='0']").count() == 1


def test_thumbnails_are_painted_and_have_texts(tab: Tab) -> None:
    tab.page.click("text=lab/atlas")
    tab.page.wait_for_selector(".card img")
    complete = "[...document.querySelectorAll('.card img')].every((i) => i.naturalWidth === 384)"
    tab.until(complete)
    card = tab.page.get_by_role("button", name="slice of T1.nii.gz")
    assert card.count() == 1


def test_folders_open_with_the_arrows(tab: Tab) -> None:
    tab.page.click("text=lab/atlas")
    tab.page.wait_for_selector(".tree summary")
    tab.page.locator(".tree summary").first.focus()
    tab.press("ArrowRight")
    tab.page.wait_for_selector("text=T2.nii >> nth=1")
    tab.press("ArrowDown")
    assert tab.focused().startswith("b/")
    tab.press("ArrowRight")
    tab.page.wait_for_selector("text=deep.txt")
    tab.press("ArrowLeft", "ArrowLeft")
    assert tab.focused().startswith("a/")
    tab.press("ArrowLeft")
    assert not tab.page.locator("text=deep.txt").is_visible()


def test_files_are_found_by_a_part_of_their_name(tab: Tab) -> None:
    tab.page.click("text=lab/atlas")
    tab.page.fill("#within", "deep")
    tab.page.wait_for_selector("text=Files (1 found)")
    assert tab.page.locator(".tree .name").all_inner_texts() == ["a/b/deep.txt"]
    assert not tab.page.locator(".card").first.is_visible()
    tab.page.focus("#within")
    tab.press("Escape")
    tab.page.wait_for_selector(".card")


def test_a_package_is_verified_and_each_file_has_its_result(tab: Tab, root: Path) -> None:
    package = root / "lab" / "atlas"
    names = [path for path, _, _ in package_files(str(package))]
    (package / MANIFEST).write_text(manifest_text(hash_files(str(package), names)))
    (package / "README").write_text("another")
    tab.page.click("text=lab/atlas")
    tab.page.wait_for_selector(".badge.unverified >> nth=0")
    tab.page.click("text=Verify every file")
    tab.page.wait_for_selector(".integrity .badge.amiss")
    assert tab.page.locator(".amiss-list li").all_inner_texts() == ["changed README"]
    row = tab.page.locator(".tree .row", has_text="README")
    assert "changed" in row.inner_text()
    manifest = tab.page.locator(".tree .row", has_text=MANIFEST)
    assert "as it was made" not in manifest.inner_text()  # nothing says what it was
    assert "as it was made" in tab.page.locator(".tree .row", has_text="T1").inner_text()
    assert tab.page.locator("#list a", has_text="lab/atlas").locator(".amiss").count() == 1


def test_many_images_come_in_parts_and_the_arrows_lead_from_one_to_the_next(
    tab: Tab, root: Path
) -> None:
    for number in range(70):
        shutil.copy(
            EXAMPLE / "nipy/examplepkg/image.nii.gz", root / f"lab/atlas/{number:02}.nii.gz"
        )
    tab.page.click("text=lab/atlas")
    tab.page.wait_for_selector("text=Images (72)")
    assert tab.page.locator(".card").count() == 60
    tab.page.click("text=Show more (12) >> nth=0")
    tab.until("document.querySelectorAll('.card').length === 72")
    tab.until("document.activeElement.matches('.gallery li:nth-child(61) .card')")
    tab.press("ArrowLeft")
    tab.until("document.activeElement.matches('.gallery li:nth-child(60) .card')")
    tab.press("Home", "ArrowDown")
    below = "document.activeElement.offsetTop > document.querySelector('.card').offsetTop"
    assert tab.page.evaluate(below)


def test_the_link_past_the_list_leads_to_the_package(tab: Tab) -> None:
    tab.page.click("text=lab/atlas")
    address = tab.page.url
    tab.page.focus(".skip")
    tab.press("Enter")
    assert tab.page.evaluate("document.activeElement.id") == "detail"
    assert tab.page.url == address
    tab.page.reload()
    tab.page.wait_for_selector(".card")


def test_images_that_are_chosen_open_together(tab: Tab) -> None:
    tab.page.click("text=lab/atlas")
    tab.page.wait_for_selector(".card")
    for box in tab.page.locator("input[name=file]").all():
        box.check()
    assert "2 images chosen" in tab.page.locator(".together p").inner_text()
    with tab.context.expect_page() as opened:
        tab.page.click("text=Show chosen together")
    opened.value.wait_for_url("**/v/*/")
    opened.value.wait_for_function(READY.replace("1", "2"), timeout=60_000, polling=50)


def test_what_is_broken_says_so(tab: Tab) -> None:
    assert tab.page.locator("#list a", has_text="lab/broken").locator(".unusable").count() == 1
    tab.page.click("text=lab/broken")
    tab.page.wait_for_selector("text=This package cannot be used: malformed config.ini line 1")


def test_names_are_shown_and_never_obeyed(tab: Tab, root: Path) -> None:
    package = root / "lab" / "<img src=x onerror=alert(1)>"
    package.mkdir()
    (package / "config.ini").write_text("[DEFAULT]\nversion = 1\nlicense = <b>\n")
    (package / "<i>.nii").write_text("no image")
    dialogs: list[Any] = []
    tab.page.on("dialog", lambda dialog: dialogs.append(dialog))
    tab.page.click("text=Look again")
    tab.page.click("text=<img src=x onerror=alert(1)>")
    tab.page.wait_for_selector(".blank >> text=<i>.nii cannot be read as an image")
    assert tab.page.locator("#detail dd").nth(2).inner_text() == "<b>"
    assert dialogs == []


def test_a_narrow_page_shows_the_list_or_a_package_and_needs_no_scrolling_aside(
    tab: Tab,
) -> None:
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    tab.page.set_viewport_size({"width": 400, "height": 700})
    assert not tab.page.evaluate(wide)
    tab.page.click("text=lab/atlas")
    tab.page.wait_for_selector(".card")
    assert not tab.page.locator("#list").is_visible()
    assert not tab.page.evaluate(wide)
    tab.page.click("text=All packages")
    assert tab.page.locator("#list").is_visible()
    tab.page.go_back()
    tab.page.wait_for_selector(".card")
    tab.page.set_viewport_size({"width": 320, "height": 500})  # 1280 at a zoom of 400 %
    assert not tab.page.evaluate(wide)


CONTRAST = """
() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (colour) => {
    const part = (x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb(colour).map(part);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (at) => {
    for (; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((rgb(colour)[3] ?? 1) > 0.99) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  for (const at of document.querySelectorAll("body *")) {
    const own = [...at.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !at.checkVisibility() || at.matches(":disabled, .unseen, script")) continue;
    const [a, b] = [light(getComputedStyle(at).color), light(ground(at))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${at.tagName} ${at.className} ${at.textContent}: ${ratio}`);
  }
  return poor;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_the_light_and_in_the_dark(
    browser: Any, served: CataloguePage, scheme: str
) -> None:
    tab = Tab(browser, served, color_scheme=scheme, reduced_motion="reduce")
    assert tab.page.evaluate(CONTRAST) == []
    for name in ("lab/broken", "lab/atlas"):
        tab.page.click(f"text={name}")
        tab.page.wait_for_selector(".tree .row")
        assert tab.page.evaluate(CONTRAST) == []
    moving = "getComputedStyle(document.querySelector('#again')).transitionDuration"
    assert tab.page.evaluate(moving) == "0s"
    tab.context.close()
    assert tab.errors == []


def test_everything_that_can_be_used_has_a_name_and_a_place(tab: Tab) -> None:
    tab.page.click("text=lab/atlas")
    tab.page.wait_for_selector(".card")
    for role in ("banner", "navigation", "main"):
        assert tab.page.get_by_role(role).count() == 1
    assert tab.page.locator("h1").count() == tab.page.locator("h2").count() == 1
    for role in ("button", "checkbox", "searchbox", "link"):
        for one in tab.page.get_by_role(role).all():
            assert re.match(f"- '?{role} \"", one.aria_snapshot()), one.aria_snapshot()
    assert tab.page.evaluate("document.documentElement.lang") == "en"
    assert "lab/atlas" in tab.page.title()


def test_an_empty_machine_is_told_what_to_do(
    browser: Any, served: CataloguePage, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.delenv("NIPY_DATA_PATH")
    tab = Tab(browser, served)
    assert "No data package on this machine yet" in tab.page.locator("main").inner_text()
    assert "nibabel-data install SOURCE" in tab.page.locator("main").inner_text()
    assert tab.page.locator("#roots li").count() > 0
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    tab.page.click("text=Look again")
    tab.page.wait_for_selector("#list a")
    tab.context.close()
    assert tab.errors == []


def test_ten_thousand_files_in_two_hundred_packages_are_there_in_a_second(
    browser: Any, served: CataloguePage, make_package: MakePackage
) -> None:
    for number in range(200):
        names = tuple(f"sub-{name % 7}/{name}.tsv" for name in range(49))
        make_package(relpath=f"large/set-{number:03}", files=names)
    tab = Tab(browser, served)
    painted = tab.page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    filled = tab.page.evaluate("performance.now()")
    assert painted < 1000
    assert filled < 3000
    begun = time.monotonic()
    tab.until(
        "[...document.querySelectorAll('#list .facts')].every((one) => one.innerText !== '…')"
    )
    assert time.monotonic() - begun < 10
    tab.context.close()
    assert tab.errors == []
