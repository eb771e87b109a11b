"""Take the pictures that the pages and the README show, whenever pages are built.

They are kept in the repository, for the README and for machines without a browser: where chromium
or nilearn is missing, the kept ones are shown, and the reason is said.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

IMAGES = Path(__file__).resolve().parent / "images"
NEEDS = ("chromium", "nilearn", "neuroglancer", "uvicorn")


def take(app: Sphinx) -> None:
    """Take the picture of the demo."""
    if app.builder.format != "html":
        return
    missing = [need for need in NEEDS if shutil.which(need) is None and find_spec(need) is None]
    if missing:
        print(f"pictures are not taken anew: {', '.join(missing)} missing", file=sys.stderr)
        return
    command = [sys.executable, "-m", "nibabel_data", "view", "--demo", "--timeout", "120"]
    done = subprocess.run(
        [*command, "--screenshot", IMAGES / "viewer.png"], capture_output=True, text=True
    )
    if done.returncode:
        raise ExtensionError(f"the picture of the demo: {done.stderr}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Take pictures before pages are read."""
    app.connect("builder-inited", take)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
