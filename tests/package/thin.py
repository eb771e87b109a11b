"""Thin packages whose files lie on a shelf, read by ``file:`` URLs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

__all__ = ["make_thin", "overlay_of", "put_into_overlay"]

FILES: Mapping[str, bytes] = {"T1.nii": b"an image", "sub/labels.txt": b"labels"}


def make_thin(
    base: Path,
    shelf: Path,
    files: Mapping[str, bytes] = FILES,
    algorithm: str = "sha256",
    config: str = "registry = registry.txt\n",
) -> Path:
    """Make a package that promises files which lie on a shelf; return its directory."""
    base.mkdir(parents=True, exist_ok=True)
    (base / "config.ini").write_text(f"[DEFAULT]\nversion = 0.3\n{config}")
    lines = []
    for name, content in files.items():
        (shelf / name).parent.mkdir(parents=True, exist_ok=True)
        (shelf / name).write_bytes(content)
        digest = hashlib.new(algorithm, content).hexdigest()
        lines.append(f"{name} {algorithm}:{digest} {(shelf / name).as_uri()}\n")
    (base / "registry.txt").write_text("".join(lines))
    return base


def overlay_of(base: Path) -> Path:
    """Return the directory of a package's overlay, which may not exist."""
    from nibabel_data.package.overlay import overlay_dir
    from nibabel_data.package.registry import read_registry

    registry = read_registry(base)
    assert registry is not None
    return Path(overlay_dir(registry))


def put_into_overlay(base: Path, name: str, content: bytes) -> Path:
    """Put a file into the overlay, as fetching it does for a package that cannot be written."""
    place = overlay_of(base) / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place
