"""The page with all packages: what it answers, to whom, and what it never does."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import nibabel_data.viewer as v
from nibabel_data import ini
from nibabel_data.errors import ViewerError
from nibabel_data.package.manifest import MANIFEST, hash_files, manifest_text, package_files
from nibabel_data.viewer import server, serving
from nibabel_data.viewer.browse import CataloguePage, checking, session
from nibabel_data.viewer.browse.catalogue import PAGE, kind_of
from nibabel_data.viewer.guard import Guard

HOST = "http://127.0.0.1:8000"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "nipy-examplepkg"

MakePackage = Callable[..., Path]


class Browsing:
    """A page, asked as a browser asks."""

    def __init__(self, page: CataloguePage) -> None:
        self.page = page
        app = server.make_app(serving.registry(), Guard())
        self.client = TestClient(app, base_url=HOST, follow_redirects=False)
        self.at = f"/browse/{page.token}/"

    def get(self, what: str, **options: Any) -> Any:
        return self.client.get(self.at + what, **options)

    def json(self, what: str) -> Any:
        answer = self.get(what)
        assert answer.status_code == 200, (what, answer.status_code)
        return answer.json()

    def post(self, what: str, data: Any = None, **headers: str) -> Any:
        return self.client.post(self.at + what, data=data, headers=headers)

    def package(self, name: str) -> str:
        found = self.json("api/packages")["packages"]
        key: str = next(one["id"] for one in found if one["name"] == name)
        return key

    def image(self, package: str, name: str) -> str:
        found = self.json(f"api/images/{self.package(package)}")["files"]
        key: str = next(one["id"] for one in found if one["name"] == name)
        return key

    def verified(self, key: str) -> Any:
        assert self.post(f"api/verify/{key}").status_code == 200
        until = time.monotonic() + 20
        while (status := self.json(f"api/verify/{key}"))["state"] == "running":
            assert time.monotonic() < until
            time.sleep(0.01)
        return status


def write_manifest(package: Path) -> None:
    names = [path for path, _, _ in package_files(str(package))]
    text = manifest_text(hash_files(str(package), names))
    (package / MANIFEST).write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE / "nipy", tmp_path / "root" / "nipy")
    return tmp_path / "root"


@pytest.fixture
def browsing(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browsing]:
    monkeypatch.setenv("NIPY_DATA_PATH", str(root))
    with CataloguePage() as page:
        yield Browsing(page)
    v.stop()


# What it shows


def test_a_package_has_its_version_origin_licence_and_size(browsing: Browsing, root: Path) -> None:
    data = browsing.json("api/packages")
    (package,) = data["packages"]
    assert package["name"] == "nipy/examplepkg"
    assert package["version"] == "0.1"
    assert package["origin"] == "NIPY_DATA_PATH"
    assert package["place"] == str(root / "nipy" / "examplepkg")
    details = browsing.json(f"api/package/{package['id']}")
    assert details["licence"] == "CC0-1.0"
    assert details["citation"].startswith("The nibabel-data developers.")
    assert details["images"] == 2
    assert details["files"] == 6
    lines = browsing.get("api/summaries").text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [package["id"]]


def test_an_origin_is_the_file_and_the_line_that_named_it(
    browsing: Browsing, make_package: MakePackage, tmp_path: Path
) -> None:
    make_package("other", "lab/atlas")
    file = tmp_path / "etc" / "lab.ini"
    file.write_text(f"[DATA]\npath = {tmp_path / 'other'}\n")
    packages = browsing.json("api/packages")["packages"]
    assert next(p["origin"] for p in packages if p["name"] == "lab/atlas") == f"{file}:2"


def test_what_is_broken_is_shown_with_its_problem(
    browsing: Browsing, make_package: MakePackage, tmp_path: Path
) -> None:
    make_package(config="version 3\n", relpath="lab/broken")
    (tmp_path / "etc" / "bad.ini").write_text("[DATA]\npath /nowhere\n")
    data = browsing.json("api/packages")
    broken = next(one for one in data["packages"] if one["name"] == "lab/broken")
    assert "malformed config.ini line 1" in broken["problem"]
    assert browsing.json(f"api/package/{broken['id']}")["problem"] == broken["problem"]
    (problem,) = [root for root in data["roots"] if root["problem"]]
    assert problem["origin"].endswith("bad.ini:2")


def test_a_copy_that_is_not_found_says_which_is(
    browsing: Browsing, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(root, tmp_path / "second")
    monkeypatch.setenv("NIPY_DATA_PATH", f"{root}{os.pathsep}{tmp_path / 'second'}")
    first, second = browsing.json("api/packages")["packages"]
    assert first["shadowed"] == ""
    assert second["shadowed"] == str(root / "nipy" / "examplepkg")


def test_an_empty_machine_has_no_packages_but_a_search_path(
    browsing: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NIPY_DATA_PATH")
    data = browsing.json("api/packages")
    assert data["packages"] == []
    assert data["roots"]


def test_folders_are_listed_one_at_a_time_and_in_parts(
    browsing: Browsing, make_package: MakePackage
) -> None:
    names = tuple(f"many/{number:04}.txt" for number in range(PAGE + 50))
    make_package(relpath="lab/large", files=(*names, "a/b/c.txt"))
    key = browsing.package("lab/large")
    top = browsing.json(f"api/files/{key}")
    assert [one["name"] for one in top["folders"]] == ["a/", "many/"]
    assert [one["name"] for one in top["files"]] == ["config.ini"]
    many = top["folders"][1]
    assert many["text"] == f"{PAGE + 50} files, {(PAGE + 50) * 4 / 1000:.1f} kB"
    first = browsing.json(f"api/files/{key}?folder={many['id']}")
    rest = browsing.json(f"api/files/{key}?folder={many['id']}&start={PAGE}")
    assert (len(first["files"]), len(rest["files"]), first["total"]) == (PAGE, 50, PAGE + 50)
    listed = [f"many/{one['name']}" for one in (*first["files"], *rest["files"])]
    assert listed == list(names)


def test_files_are_found_by_a_part_of_their_path(browsing: Browsing) -> None:
    found = browsing.json(f"api/files/{browsing.package('nipy/examplepkg')}?q=IMAGE")
    assert [one["name"] for one in found["files"]] == ["image.nii.gz"]
    assert found["total"] == 1


@pytest.mark.skipif(os.name == "nt", reason="names of this kind are POSIX's")
def test_names_may_hold_anything(browsing: Browsing, root: Path) -> None:
    package = root / "nipy" / "<script>alert(1)<"
    package.mkdir()
    (package / "config.ini").write_text("[DEFAULT]\nversion = 1\nlicense = \u202eevil\n")
    (package / os.fsdecode(b"caf\xe9\x1b[31m.nii")).write_bytes(b"no image")
    key = browsing.package("nipy/<script>alert(1)<")
    assert browsing.json(f"api/package/{key}")["licence"] == "\\u202eevil"
    (image,) = browsing.json(f"api/images/{key}")["files"]
    assert image["name"] == "caf\\udce9\\x1b[31m.nii"
    answer = browsing.get(f"api/thumbnail/{image['id']}")
    assert answer.status_code == 422
    assert answer.text.isprintable()
    sorry = browsing.post("open", {"only": image["id"]})
    assert sorry.status_code == 422
    assert "\x1b" not in sorry.text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("T1.NII.GZ", "image"), ("a.mgz", "image"), ("a.hdr", ""), ("a.gii", "")),
        *(("lh.white", "surface"), ("a.surf.gii", "surface"), ("a.trk", "tracts"), ("nii", "")),
    ],
)
def test_what_can_be_shown_is_known_by_its_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


# Pictures


def test_a_thumbnail_is_sent_once(browsing: Browsing) -> None:
    key = browsing.image("nipy/examplepkg", "image.nii.gz")
    answer = browsing.get(f"api/thumbnail/{key}")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    again = browsing.get(f"api/thumbnail/{key}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_why_there_is_no_thumbnail_is_a_sentence_without_the_place(
    browsing: Browsing, make_package: MakePackage, root: Path
) -> None:
    make_package(relpath="lab/atlas", files=("a.nii",))
    answer = browsing.get(f"api/thumbnail/{browsing.image('lab/atlas', 'a.nii')}")
    assert answer.status_code == 422
    assert answer.text.startswith("a.nii cannot be read as an image")
    assert str(root) not in answer.text


# Integrity


def test_a_package_that_is_whole_is_verified_in_full(browsing: Browsing, root: Path) -> None:
    write_manifest(root / "nipy" / "examplepkg")
    key = browsing.package("nipy/examplepkg")
    assert browsing.json(f"api/package/{key}")["integrity"]["state"] == "unverified"
    assert browsing.json(f"api/verify/{key}") == {"state": "none"}
    status = browsing.verified(key)
    assert status["state"] == "ok"
    assert status["text"] == "6 files read and right, by manifest"


def test_what_is_known_from_before_is_told_at_once(
    browsing: Browsing, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ini, "_SETTLE_NS", -1)  # as if the files were written long ago
    write_manifest(root / "nipy" / "examplepkg")
    key = browsing.package("nipy/examplepkg")
    browsing.verified(key)
    integrity = browsing.json(f"api/package/{key}")["integrity"]
    assert integrity["state"] == "ok"
    assert integrity["text"] == "6 files unchanged since verified, by manifest"


def test_what_is_amiss_is_told_for_each_file(browsing: Browsing, root: Path) -> None:
    package = root / "nipy" / "examplepkg"
    write_manifest(package)
    (package / "LICENSE").write_text("another")
    (package / "README.rst").unlink()
    (package / "new.txt").write_text("new")
    key = browsing.package("nipy/examplepkg")
    status = browsing.verified(key)
    assert status["state"] == "amiss"
    found = {one["name"]: one["state"] for one in status["amiss"]}
    assert found == {"LICENSE": "changed", "README.rst": "missing", "new.txt": "extra"}
    files = {one["name"]: one["id"] for one in browsing.json(f"api/files/{key}")["files"]}
    assert files["LICENSE"] == next(o["id"] for o in status["amiss"] if o["name"] == "LICENSE")


def test_a_package_without_a_manifest_is_unknown(browsing: Browsing) -> None:
    status = browsing.verified(browsing.package("nipy/examplepkg"))
    assert status["state"] == "unknown"
    assert "nothing to check against" in status["text"]


def test_verifying_changes_nothing_in_the_package(browsing: Browsing, root: Path) -> None:
    write_manifest(root / "nipy" / "examplepkg")
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    browsing.verified(browsing.package("nipy/examplepkg"))
    assert before == {file: file.stat().st_mtime_ns for file in root.rglob("*")}


def test_while_a_package_is_read_the_page_learns_how_far_it_is(
    browsing: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, calls = threading.Event(), threading.Event(), []

    def verify(base: str, *, full: bool, progress: Callable[[int], object]) -> Any:
        calls.append(full)
        progress(5)
        begun.set()
        go.wait(20)
        raise OSError("gone")

    monkeypatch.setattr(checking, "verify_directory", verify)
    key = browsing.package("nipy/examplepkg")
    size = browsing.json(f"api/package/{key}")["bytes"]
    browsing.post(f"api/verify/{key}")
    assert begun.wait(20)
    status = browsing.post(f"api/verify/{key}").json()  # once more does not begin another
    assert (status["state"], status["done"], status["total"]) == ("running", 5, size)
    go.set()
    status = browsing.verified(key)
    assert status == {"state": "unknown", "text": "cannot be verified: gone"}
    assert calls[0] is True


# Viewers


def test_an_image_opens_in_a_viewer_of_its_own(browsing: Browsing) -> None:
    key = browsing.image("nipy/examplepkg", "image.nii.gz")
    answer = browsing.post("open", {"only": key})
    assert answer.status_code == 303
    token = re.fullmatch(r"\.\./\.\./v/([0-9a-f]{40})/", answer.headers["location"])
    assert token is not None
    page: Any = serving.registry().page(token[1])
    assert page.layers == ("image",)
    assert browsing.client.get(f"/v/{token[1]}/").status_code == 200


def test_images_open_together_with_labels_above(browsing: Browsing, root: Path) -> None:
    package = root / "nipy" / "examplepkg"
    image: Any = nibabel.Nifti1Image(np.random.default_rng(0).random((9, 9, 9), "f4"), np.eye(4))
    nibabel.save(image, package / "brain.nii.gz")
    keys = [browsing.image("nipy/examplepkg", f"{name}.nii.gz") for name in ("labels", "brain")]
    answer = browsing.post("open", {"file": keys})
    page: Any = serving.registry().page(answer.headers["location"].split("/")[-2])
    assert page.layers == ("brain", "labels")


def test_what_cannot_be_shown_is_a_page_that_says_why(
    browsing: Browsing, make_package: MakePackage
) -> None:
    make_package(relpath="lab/atlas", files=("<b>.nii",))
    answer = browsing.post("open", {"only": browsing.image("lab/atlas", "<b>.nii")})
    assert answer.status_code == 422
    assert "<h1>This cannot be shown</h1>" in answer.text
    assert "&lt;b&gt;.nii cannot be read" in answer.text
    assert "<b>" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({}, "No file was chosen"),
        ({"file": "0" * 24}, "older than the server"),
        ({"only": "../../etc/passwd"}, "older than the server"),
        ({"file": ["1"] * 17}, "At most 16"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_in_words(
    browsing: Browsing, form: Any, text: str
) -> None:
    answer = browsing.post("open", form)
    assert answer.status_code == 422
    assert text in answer.text


def test_a_viewer_is_closed_when_its_page_has_gone_for_a_while(
    browsing: Browsing, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(root / "nipy" / "examplepkg" / "image.nii.gz")
    page = browsing.page

    async def walk() -> None:
        viewer = await page.open([path])
        viewer.streams = 1
        monkeypatch.setattr(session, "IDLE", -1.0)
        page._look()
        assert not viewer.closed
        monkeypatch.setattr(session, "IDLE", 0.05)
        viewer.streams = 0
        page._look()
        assert not viewer.closed
        await asyncio.sleep(0.1)
        page._look()
        assert viewer.closed

    asyncio.run(walk())
    assert page._opened == []


def test_the_server_looks_by_itself_which_viewers_have_a_page(
    browsing: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_LOOK", 0.05)
    monkeypatch.setattr(session, "IDLE", 0.1)
    key = browsing.image("nipy/examplepkg", "image.nii.gz")
    with urllib.request.urlopen(f"{browsing.page.url}open", f"only={key}".encode()) as viewer:
        assert "/v/" in viewer.url
        address = viewer.url
    until = time.monotonic() + 20
    while browsing.page._opened:
        assert time.monotonic() < until
        time.sleep(0.02)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(address)


def test_what_fails_in_an_unforeseen_way_is_told_too(
    browsing: Browsing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(paths: object) -> None:
        raise ZeroDivisionError("by <nought>")

    monkeypatch.setattr(session, "_viewer", fail)
    answer = browsing.post("open", {"only": browsing.image("nipy/examplepkg", "image.nii.gz")})
    assert answer.status_code == 422
    assert "ZeroDivisionError: by &lt;nought&gt;" in answer.text
    assert "Traceback" not in answer.text
    assert "A file cannot be shown" in caplog.text


def test_of_too_many_viewers_the_one_without_a_page_goes(
    browsing: Browsing, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(root / "nipy" / "examplepkg" / "image.nii.gz")
    monkeypatch.setattr(session, "MOST", 2)

    async def walk() -> None:
        first, second = await browsing.page.open([path]), await browsing.page.open([path])
        first.streams = 1
        third = await browsing.page.open([path])
        assert [first.closed, second.closed, third.closed] == [False, True, False]
        third.streams = 1
        with pytest.raises(ViewerError, match="2 viewers are open"):
            await browsing.page.open([path])

    asyncio.run(walk())


def test_closing_the_page_closes_its_viewers_and_its_address(browsing: Browsing) -> None:
    answer = browsing.post("open", {"only": browsing.image("nipy/examplepkg", "image.nii.gz")})
    viewer: Any = serving.registry().page(answer.headers["location"].split("/")[-2])
    browsing.page.close()
    assert viewer.closed
    assert browsing.get("").status_code == 404
    with pytest.raises(ViewerError, match="closed"):
        _ = browsing.page.url


def test_stopping_the_server_ends_the_page(browsing: Browsing) -> None:
    assert browsing.get("").status_code == 200
    v.stop()
    again = Browsing(browsing.page)
    assert again.get("").status_code == 404


# Safety


def test_everything_needs_the_token(browsing: Browsing) -> None:
    wrong = "0" * 40
    for what in ("", "browse.js", "api/packages", "api/summaries", "api/thumbnail/1"):
        assert browsing.client.get(f"/browse/{wrong}/{what}").status_code == 404
    assert browsing.client.post(f"/browse/{wrong}/open", data={"only": "1"}).status_code == 404
    assert browsing.client.get(f"/v/{browsing.page.token}/").status_code == 404


def test_the_page_loads_nothing_from_elsewhere_and_holds_no_script(browsing: Browsing) -> None:
    answer = browsing.get("")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "http" not in answer.text
    assert re.search(r"<script(?![^>]*\bsrc=)", answer.text) is None
    assert re.search(r"\son\w+=|\sstyle=", answer.text) is None
    for name in ("browse.js", "files.js", "browse.css", "icon.svg"):
        sent = browsing.get(name)
        assert sent.status_code == 200
        assert "http" not in sent.text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "innerHTML" not in sent.text


def test_actions_are_posts_from_this_very_page(browsing: Browsing) -> None:
    key = browsing.package("nipy/examplepkg")
    image = browsing.image("nipy/examplepkg", "image.nii.gz")
    assert browsing.get(f"open?only={image}").status_code in (404, 405)
    for what, data in (("open", {"only": image}), (f"api/verify/{key}", None)):
        assert browsing.post(what, data, origin="http://evil.example").status_code == 403
        assert browsing.post(what, data, origin="null").status_code == 403
        assert browsing.post(what, data, **{"sec-fetch-site": "cross-site"}).status_code == 403
        assert browsing.post(what, data, host="evil.example").status_code == 403
    assert browsing.json(f"api/verify/{key}") == {"state": "none"}
    assert browsing.post("open", {"only": image}, origin=HOST).status_code == 303


@pytest.mark.parametrize(
    "what",
    [
        *("api/package/..", "api/package/%2e%2e%2f%2e%2e", "api/thumbnail/%2Fetc%2Fpasswd"),
        *("../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "browse.py", "__init__.py", "a%00b"),
        *("api/thumbnail/\udce9", "api/files/x", "api/verify/x", "api/images/x", "static/icon.svg"),
    ],
)
def test_no_path_of_a_request_reaches_the_file_system(browsing: Browsing, what: str) -> None:
    answer = browsing.get(what.encode("utf-8", "surrogateescape").decode("latin-1"))
    assert answer.status_code == 404
    assert answer.content == b""


def test_a_folder_of_one_package_is_none_of_another(
    browsing: Browsing, make_package: MakePackage
) -> None:
    make_package(relpath="lab/a", files=("x/1.txt",))
    make_package(relpath="lab/b", files=("x/2.txt",))
    folder = browsing.json(f"api/files/{browsing.package('lab/a')}")["folders"][0]["id"]
    answer = browsing.get(f"api/files/{browsing.package('lab/b')}?folder={folder}")
    assert answer.status_code == 404


@pytest.mark.parametrize("start", ["-1", "x", "9" * 20, "٣", "1.5"])
def test_a_place_in_a_list_is_a_number(browsing: Browsing, start: str) -> None:
    key = browsing.package("nipy/examplepkg")
    assert browsing.get(f"api/files/{key}", params={"start": start}).status_code == 400
    assert browsing.json(f"api/files/{key}?start=1000000")["files"] == []


def test_a_form_has_a_limit(browsing: Browsing) -> None:
    assert browsing.post("open", {"file": "x" * 70_000}).status_code == 413
    assert browsing.client.post(browsing.at + "open", content=iter([b"x"])).status_code == 411
    assert browsing.client.post(browsing.at + "open", content=b"\xff").status_code == 400


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(what=st.text(max_size=40), query=st.text(max_size=40), body=st.binary(max_size=60))
def test_nothing_that_is_asked_is_an_error_of_the_server(
    browsing: Browsing, what: str, query: str, body: bytes
) -> None:
    from urllib.parse import quote

    asked = quote(what.encode("utf-8", "surrogatepass"), safe="/")
    for way in ("", "api/", "api/files/", "api/thumbnail/", "api/verify/"):
        answer = browsing.get(way + asked, params={"q": query, "start": query})
        assert answer.status_code < 500
    assert browsing.client.post(browsing.at + "open", content=body).status_code < 500


def test_no_token_is_in_a_log(
    browsing: Browsing, caplog: pytest.LogCaptureFixture, make_package: MakePackage
) -> None:
    make_package(relpath="lab/atlas", files=("a.nii",))
    with caplog.at_level(logging.DEBUG, logger="nibabel_data"):
        key = browsing.image("lab/atlas", "a.nii")
        browsing.get(f"api/thumbnail/{key}")
        browsing.post("open", {"only": key})
        browsing.verified(browsing.package("lab/atlas"))
    assert browsing.page.token not in caplog.text


def test_a_proxy_may_put_something_in_front(browsing: Browsing) -> None:
    prefix = "/user/ana/proxy/8888"
    assert browsing.client.get(f"{prefix}{browsing.at}api/packages").status_code == 200
    answer = browsing.client.get(f"{prefix}{browsing.at[:-1]}")
    assert answer.status_code == 308
    assert answer.headers["location"] == f"{browsing.page.token}/"


def test_a_package_that_goes_while_it_is_shown_is_no_error_of_the_server(
    browsing: Browsing, root: Path
) -> None:
    key = browsing.package("nipy/examplepkg")
    image = browsing.image("nipy/examplepkg", "image.nii.gz")
    shutil.rmtree(root / "nipy")
    assert browsing.get(f"api/package/{key}").status_code == 200
    assert "cannot list" in browsing.json(f"api/package/{key}")["problem"]
    assert browsing.get(f"api/files/{key}").status_code == 422
    assert browsing.get(f"api/thumbnail/{image}").status_code == 422
    assert browsing.post("open", {"only": image}).status_code == 422
    assert len(browsing.get("api/summaries").text.splitlines()) == 1


def test_what_can_be_fetched_is_listed_as_not_here(
    browsing: Browsing, make_package: MakePackage, root: Path
) -> None:
    make_package(relpath="lab/thin", config="[DEFAULT]\nversion = 1\nregistry = registry.txt\n")
    digest = "0" * 64
    registry = root / "lab" / "thin" / "registry.txt"
    registry.write_text(f"big.nii.gz sha256:{digest} https://example.org/big.nii.gz\n")
    key = browsing.package("lab/thin")
    files = browsing.json(f"api/files/{key}")["files"]
    thin = next(one for one in files if one["name"] == "big.nii.gz")
    assert (thin["state"], thin["size"], thin["kind"]) == ("absent", "not fetched", "")
    assert browsing.json(f"api/package/{key}")["unfetched"] == 1


@pytest.mark.parametrize("blocks", [1, 4])
def test_files_that_block_do_not_hold_up_the_page(
    browsing: Browsing, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    from nibabel_data.viewer.browse import thumbnails

    go = threading.Event()
    monkeypatch.setattr(thumbnails, "thumbnail", lambda path: go.wait(20) and b"")
    key = browsing.image("nipy/examplepkg", "image.nii.gz")
    threads = [
        threading.Thread(target=browsing.get, args=(f"api/thumbnail/{key}",)) for _ in range(blocks)
    ]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    assert browsing.json("api/packages")["packages"]
    assert time.monotonic() - begun < 5
    go.set()
    for thread in threads:
        thread.join()


def test_a_large_image_is_shown_from_python_too(tmp_path: Path, make_package: MakePackage) -> None:
    make_package("other", "lab/atlas")
    image: Any = nibabel.Nifti1Image(np.ones((4, 5, 6), "f4"), np.eye(4))
    nibabel.save(image, tmp_path / "other" / "lab" / "atlas" / "a.nii")
    with CataloguePage(tmp_path / "other") as page:
        assert page.url.startswith("http://127.0.0.1:")
        assert Browsing(page).image("lab/atlas", "a.nii")
    v.stop()
