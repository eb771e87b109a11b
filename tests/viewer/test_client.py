from __future__ import annotations

import builtins
import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from nibabel_data.errors import ViewerError
from nibabel_data.viewer import client


@pytest.fixture(autouse=True)
def chosen() -> Iterator[None]:
    yield
    client.set_static_content_source()


@pytest.fixture
def built(tmp_path: Path) -> Path:
    top = tmp_path / "built"
    (top / "sub").mkdir(parents=True)
    (top / "index.html").write_text("<!doctype html>" * 20)
    (top / "main.0123456789abcdef.js").write_text("let a = 1;" * 100)
    (top / "plain.js").write_text("1")
    (top / "sub" / "a.wasm").write_bytes(b"\0asm")
    (top / ".hidden").write_text("no")
    (tmp_path / "secret").write_text("secret")
    (top / "link.js").symlink_to(tmp_path / "secret")
    return top


def test_the_client_of_neuroglancer_is_found_without_importing_it() -> None:
    code = (
        "import sys; from nibabel_data.viewer import client;"
        "assert client.installed().get('').type.startswith('text/html');"
        "assert 'neuroglancer' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_client_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ViewerError, match=r"pip install 'nibabel-data\[view\]'"):
        client.installed()


def test_files_are_packed_once_and_tagged(built: Path) -> None:
    files = client.Directory(built, fixed=True)
    page = files.get("")
    assert page is not None
    assert page is files.get("index.html")
    assert gzip.decompress(page.packed or b"") == page.body
    assert not page.immutable
    main = files.get("main.0123456789abcdef.js")
    assert main is not None
    assert main.immutable
    assert main.type == "text/javascript; charset=utf-8"
    assert main.tag != page.tag
    small = files.get("plain.js")
    assert small is not None
    assert small.packed is None
    wasm = files.get("sub/a.wasm")
    assert wasm is not None
    assert wasm.type == "application/wasm"


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "sub/../../secret",
        "/etc/passwd",
        "link.js",
        ".hidden",
        "sub",
        "sub/",
        "index.html\0",
        "%2e%2e/secret",
        "..\\secret",
        "a" * 10_000,
    ],
)
def test_no_name_that_is_asked_for_reaches_the_file_system(
    built: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = client.Directory(built, fixed=True)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the file system was asked")

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", refuse)
        patch.setattr("os.stat", refuse)
        assert files.get(name) is None


def test_a_directory_that_is_under_development_is_read_anew_for_each_page(built: Path) -> None:
    client.set_static_content_source(path=built)
    files = client.source()
    (built / "new.js").write_text("2")
    assert files.get("new.js") is None
    assert files.get("") is not None
    assert files.get("new.js") is not None


def test_a_directory_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ViewerError, match="no built client"):
        client.set_static_content_source(path=tmp_path)
    with pytest.raises(ViewerError, match="not both"):
        client.set_static_content_source(path=tmp_path, url="http://localhost")


@pytest.mark.parametrize("url", ["file:///etc/", "ftp://a/", "http://", "http://a/?q", "nonsense"])
def test_only_addresses_of_the_web_are_taken(url: str) -> None:
    with pytest.raises(ViewerError):
        client.set_static_content_source(url=url)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path in ("/dev/", "/dev/main.js")
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(self.path.encode() if found else b"")

    def log_message(self, *_: Any) -> None:
        pass


def test_a_client_is_taken_from_another_server() -> None:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            client.set_static_content_source(url=f"http://127.0.0.1:{server.server_port}/dev")
            page = client.source().get("")
            assert page is not None
            assert (page.body, page.type) == (b"/dev/", "text/html; charset=utf-8")
            main = client.source().get("main.js")
            assert main is not None
            assert main.body == b"/dev/main.js"
            assert client.source().get("other.js") is None
            assert client.source().get("../secret") is None
            assert client.source().get("http://elsewhere/") is None
        finally:
            server.shutdown()
            thread.join()
    assert client.source().get("") is None
