"""Run the code blocks of the documentation that are not Python, as doctests among the others.

Sphinx runs ``>>>`` blocks.  This extension makes the ``code-block`` directive hand it the others:

* in a ``console`` block each line ``$ command`` is run, and its output compared with what follows.
  A command must succeed, unless the block says ``:status: N``: then its last one ends with N;
* any other block with a ``:caption:`` is the content of the file of that name, and is written;
* a block that is neither says ``:untested: why``, or the build fails.

All blocks of a document run in order, in one `Scene`: a home directory of their own below a
temporary root.  The root is taken for ``/``, so that a page can say ``/etc/nipy`` and mean it.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.directives.code import CodeBlock

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
HOME = "/home/ana"
SETUP = "from shellblocks import Scene; scene = Scene(); sh, write = scene.sh, scene.write"
CLEANUP = "scene.close()"

_ROOTED = re.compile(r"(?<![\w.~/}-])/(?=(?:etc/nipy|home|shared|opt)\b)")
_SETTINGS = {
    "COLUMNS": "80",
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # which means: no isolation, so that nothing is downloaded
    "PIP_NO_INDEX": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Scene:
    """Where the blocks of one document run: an empty home, the example package in it."""

    _open: Scene | None = None

    def __init__(self) -> None:
        if Scene._open is not None:  # the setup of the document before failed
            Scene._open.close()
        Scene._open = self
        self._before = dict(os.environ), os.getcwd()
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="nibabel-data-doc-"))
        home = Path(self.root + HOME)
        shutil.copytree(EXAMPLES, home / "examples")
        os.environ.update(
            _SETTINGS,
            HOME=str(home),
            TMPDIR=self.root,
            NIPY_SYSTEM_DIR=self.root + "/etc/nipy",
            XDG_DATA_DIRS=self.root + "/opt/share",
            PATH=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
        )
        for name in ("NIPY_DATA_PATH", "NIPY_USER_DIR", "DESTDIR", "PYTHONPATH"):
            os.environ.pop(name, None)
        os.chdir(home)

    def close(self) -> None:
        """Put the process back as it was, and remove everything."""
        Scene._open = None
        os.environ.clear()
        os.environ.update(self._before[0])
        os.chdir(self._before[1])
        shutil.rmtree(self.root)

    def templates(self, root: str = "~/data", version: str = "0.3") -> None:
        """Lay out the package nipy/templates: a small real image that nibabel carries."""
        import nibabel

        image = Path(nibabel.__file__).parent / "tests" / "data" / "anatomical.nii"
        package = Path(self._real(root)).expanduser() / "nipy" / "templates"
        (package / "ICBM152" / "2mm").mkdir(parents=True)
        with gzip.open(package / "ICBM152" / "2mm" / "T1.nii.gz", "wb") as file:
            file.write(image.read_bytes())
        (package / "config.ini").write_text(f"[DEFAULT]\nversion = {version}\n")

    def write(self, name: str, text: str) -> None:
        """Write a file; ``~`` in its name, and ``/etc/nipy`` in both, are those of the scene."""
        path = Path(self._real(name)).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._real(text) + "\n", encoding="utf-8")

    def sh(self, command: str, status: int = 0) -> None:
        """Run a command, print what it prints, and keep its directory and its exports."""
        state = self.root + "/state"
        script = f"{self._real(command)}\nstatus=$?; {{ pwd; env -0; }} >{state}; exit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        directory, _, variables = Path(state).read_text(encoding="utf-8").partition("\n")
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(pair.split("=", 1) for pair in variables.split("\0") if pair)
        output = done.stdout.replace(self.root, "").replace(sys.prefix, HOME + "/env")
        if output.strip():
            print(output.rstrip())
        if done.returncode != status:
            raise AssertionError(f"exit status {done.returncode}, not {status}: {output}")

    def _real(self, text: str) -> str:
        return _ROOTED.sub(self.root + "/", text)


class TestedBlock(CodeBlock):
    """``code-block``, which is a test as well."""

    option_spec = {
        **CodeBlock.option_spec,
        "status": directives.nonnegative_int,
        "untested": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Return the block, marked for the doctest builder."""
        if self.arguments[:1] == ["console"] and "untested" not in self.options:
            test = _as_doctest(list(self.content), self.options.get("status", 0))
        elif "caption" in self.options and "untested" not in self.options:
            text = "\n".join(self.content)
            if self.arguments == ["make"]:  # docutils has no tabs
                text = re.sub("^ {8}", "\t", text, flags=re.MULTILINE)
            test = f">>> write({self.options['caption']!r}, {text!r})\n"
        elif "untested" in self.options:
            test = ""
        else:
            raise self.error("a code block must be a test, or say ':untested: why'")
        shown = super().run()
        for block in (block for node in shown for block in node.findall(nodes.literal_block)):
            if test:
                marks = {"testnodetype": "doctest", "groups": ["default"], "options": {}}
                block.attributes.update(marks, test=test)
        return shown


def _as_doctest(lines: list[str], status: int) -> str:
    """Return ``$ command`` lines, each with its output, as calls of `Scene.sh`."""
    commands: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("$ "):
            commands.append((line[2:], []))
        elif commands and commands[-1][0].endswith("\\"):
            commands[-1] = (commands[-1][0] + "\n" + line, [])
        else:
            commands[-1][1].append(line or "<BLANKLINE>")
    test = []
    for number, (command, output) in enumerate(commands, 1):
        test.append(f">>> sh({command!r}, {status if number == len(commands) else 0})")
        test.extend(output)
    return "\n".join(test) + "\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Put the tested block in place of Sphinx's own."""
    app.add_directive("code-block", TestedBlock, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
