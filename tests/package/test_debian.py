"""A real ``.deb`` that carries a data package and its ini file, really installed, and found.

It is installed where nothing of the machine changes: in a mount namespace, with an overlay over
``/usr``, ``/etc`` and ``/var``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ..conftest import PROJECT

COMMAND = str(Path(sys.executable).with_name("nibabel-data"))
CONTROL = """\
Package: nipy-example-data
Version: 0.1-1
Architecture: all
Maintainer: The nibabel-data developers <nobody@example.org>
Description: the example data package of nibabel-data
"""


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb: apt-get install dpkg")
    stage = tmp_path / "stage"
    environment = {**os.environ, "DESTDIR": str(stage)}
    del environment["NIPY_SYSTEM_DIR"]
    source = PROJECT / "examples" / "nipy-examplepkg"
    for arguments in (
        ["install", str(source), "--prefix", "/opt/nipy"],
        ["config", "add", "/opt/nipy/share/nipy", "--system", "nipy_example"],
    ):
        subprocess.run([COMMAND, *arguments], env=environment, check=True, capture_output=True)
    (stage / "DEBIAN").mkdir()
    (stage / "DEBIAN" / "control").write_text(CONTROL)
    (stage / "DEBIAN" / "conffiles").write_text("/etc/nipy/nipy_example.ini\n")
    built = tmp_path / "nipy-example-data.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", stage, built]
    subprocess.run(command, check=True, capture_output=True)
    return built


def test_what_the_package_holds(deb: Path) -> None:
    listed = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True).stdout
    lines = {line.split()[-1]: line.split()[0] for line in listed.splitlines()}
    assert lines["./etc/nipy/nipy_example.ini"] == "-rw-r--r--"
    base = "./opt/nipy/share/nipy/nipy/examplepkg/"
    assert lines[base] == "drwxr-xr-x"
    assert lines[f"{base}image.nii.gz"] == "-rw-r--r--"
    assert f"{base}manifest-sha256.txt" in lines
    assert not [name for name in lines if "staging" in name]


def in_a_copy_of_the_machine(script: str, scratch: Path) -> str:
    """Run a script where ``/usr``, ``/etc``, ``/var`` and ``/opt`` may be changed freely."""
    mounts = []
    for name in ("usr", "etc", "var", "opt"):
        options = [f"lowerdir=/{name}"]
        for kind in ("upper", "work"):
            place = scratch / kind / name
            place.mkdir(parents=True)
            options.append(f"{kind}dir={place}")
        mounts.append(f"mount -t overlay overlay -o {','.join(options)} /{name}")
    whole = "\n".join(["set -e", *mounts, textwrap.dedent(script)])
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", whole], capture_output=True, text=True
    )
    if "unshare failed" in done.stderr or "mount: /usr" in done.stderr:
        pytest.skip(f"needs root, and a kernel with overlays: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_installed_found_verified_and_removed(
    deb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, as dpkg does")
    monkeypatch.delenv("NIPY_SYSTEM_DIR")
    scratch = deb.parent / "scratch"
    scratch.mkdir()
    # An overlay cannot lie on another one: its upper directories go to a file system of memory.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", scratch], check=True)
    try:
        out = in_a_copy_of_the_machine(
            f"""
            dpkg --install {deb} >/dev/null
            cat /etc/nipy/nipy_example.ini
            {COMMAND} find nipy/examplepkg image.nii.gz
            {COMMAND} verify nipy/examplepkg
            {COMMAND} explain nipy/examplepkg | head -1
            dpkg --purge nipy-example-data >/dev/null 2>&1
            {COMMAND} find nipy/examplepkg 2>/dev/null || echo gone: $(ls /opt/nipy 2>&1)
            """,
            scratch,
        )
    finally:
        subprocess.run(["umount", "-l", scratch], check=True)
    place = "/opt/nipy/share/nipy/nipy/examplepkg"
    lines = out.splitlines()
    assert lines[:3] == ["[DATA]", "path = /opt/nipy/share/nipy", f"{place}/image.nii.gz"]
    assert lines[3].startswith(f"ok: {place} (")
    assert lines[4] == f"nipy/examplepkg 0.1 is at {place} (/etc/nipy/nipy_example.ini:2)"
    assert lines[5].startswith("gone: ")
