"""Run the code blocks of the documentation that are not Python, as doctests among the others.

This extension makes the ``code-block`` directive hand them to Sphinx's doctest builder:

* in a ``console`` block each line ``$ command`` is run, and its output compared with what follows.
  A command must succeed, unless the block says ``:status: N``: then its last one ends with N;
  its last one gets Ctrl-C once it has printed the text of ``:until: text``;
* any other block with a ``:caption:`` is the content of the file of that name, and is written;
* a block that is neither says ``:untested: why``, or the build fails.

A page that begins with the field ``:needs: this that`` is left out, and the reason said, where one
of these is missing: a command (``g++``), a module (``neuron``), or a package for Glia.

The blocks of a document run in order, in one `Scene`: a home below a temporary root, which is taken
for ``/``, so that a page can say ``/etc/nipy`` and mean it.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.directives.code import CodeBlock
from sphinx.ext.doctest import DocTestBuilder

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
HOME = "/home/ana"
SETUP = "from shellblocks import Scene; scene = Scene(); sh, write = scene.sh, scene.write"
CLEANUP = "scene.close()"
_ROOTED = re.compile(r"(?<![\w.~/}-])/(?=(?:etc/nipy|home|shared|opt)\b)")
PACKAGES = {"dbbs-catalogue": "6.0.1"}
"""Packages of mechanisms for Glia, which pages use; by name, the version."""

_SET = {
    "BROWSER": "true",  # the command, which opens nothing
    "COLUMNS": "80",
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # which means: no isolation, so that nothing is downloaded
    "PIP_NO_INDEX": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PYTHONUNBUFFERED": "1",  # as on a terminal, errors stand where they happen
}


class Scene:
    """Where the blocks of one document run: a home with a copy of the examples."""

    def __init__(self) -> None:
        self._before = os.environ.copy(), os.getcwd(), sys.path.copy()
        root = self.root = os.path.realpath(tempfile.mkdtemp(prefix="nibabel-data-doc-"))
        shutil.copytree(EXAMPLES, root + HOME + "/examples")
        foreign = re.compile("NIPY|NIBABEL|XDG|PYTHON|DESTDIR|MAKE|MFLAGS")
        for name in filter(foreign.match, list(os.environ)):
            del os.environ[name]
        os.environ.update(_SET, HOME=root + HOME, TMPDIR=root, XDG_DATA_DIRS=root + "/opt/share")
        os.environ["NIPY_SYSTEM_DIR"] = root + "/etc/nipy"
        os.makedirs(root + "/etc/nipy")
        os.environ["PATH"] = os.path.dirname(sys.executable) + ":" + os.environ["PATH"]
        os.chdir(root + HOME)

    def close(self) -> None:
        """Put the process back as it was, and remove everything."""
        os.environ.clear()
        os.environ.update(self._before[0])
        os.chdir(self._before[1])
        sys.path[:] = self._before[2]
        shutil.rmtree(self.root)

    def templates(self, root: str = "~/data", version: str = "0.3") -> None:
        """Lay out the package nipy/templates: a small real image that nibabel carries."""
        import nibabel

        package = root + "/nipy/templates"
        self.write(package + "/config.ini", f"[DEFAULT]\nversion = {version}")
        image = Path(self._real(package)).expanduser() / "ICBM152" / "2mm" / "T1.nii.gz"
        image.parent.mkdir(parents=True)
        carried = Path(nibabel.__file__).parent / "tests" / "data" / "anatomical.nii"
        nibabel.save(nibabel.load(carried), image)

    def mechanisms(self, package: str = "dbbs-catalogue") -> None:
        """Install a package for Glia, as pip would have, and quieten what pages do not show."""
        site = self.root + HOME + "/env/lib/site-packages"
        shutil.copytree(_installed(package)[0], site)
        sys.path.append(site)
        os.environ.update(PYTHONPATH=site, NEURON_MODULE_OPTIONS="-nogui")
        if find_spec("matplotlib"):  # it looks for fonts at first, and may say so
            command = [sys.executable, "-c", "import matplotlib.font_manager"]
            subprocess.run(command, capture_output=True, check=True)

    def write(self, name: str, text: str) -> None:
        """Write a file; ``~`` in its name, and ``/etc/nipy`` in both, are those of the scene."""
        path = Path(self._real(name)).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._real(text) + "\n", encoding="utf-8")

    def sh(self, command: str, status: int = 0, until: str = "") -> None:
        """Run a command, print what it prints, and keep its directory and its exports."""
        state = Path(self.root, "state")
        script = f"exec 2>&1\n{self._real(command)}\nx=$?; {{ pwd; env -0; }} >{state}; exit $x"
        shell = subprocess.Popen(
            ["bash", "-c", script],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=bool(until),
        )
        assert shell.stdout is not None
        printed = ""
        while until and until not in printed:
            line = shell.stdout.readline()
            if not line:
                break
            printed += line
        if until:
            os.killpg(shell.pid, signal.SIGINT)
        printed += shell.communicate()[0]
        directory, _, variables = state.read_text(encoding="utf-8").partition("\n")
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(re.findall(r"([^=\0]+)=([^\0]*)\0", variables))
        output = printed.replace(self.root, "").replace(sys.prefix, HOME + "/env").rstrip()
        if shell.returncode != status:
            raise AssertionError(f"exit status {shell.returncode}, not {status}: {output}")
        if output:
            print(output)

    def _real(self, text: str) -> str:
        return _ROOTED.sub(self.root + "/", text)


class TestedBlock(CodeBlock):
    """``code-block``, which is a test as well."""

    option_spec: ClassVar = {
        **CodeBlock.option_spec,
        "status": directives.nonnegative_int,
        "until": directives.unchanged_required,
        "untested": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Return the block, marked for the doctest builder."""
        shown = super().run()
        text = "\n".join(self.content)
        if "untested" in self.options:
            return shown
        if self.arguments == ["console"]:
            test = _as_doctest(text, self.options.get("status", 0), self.options.get("until", ""))
        elif "caption" in self.options:
            if self.arguments == ["make"]:  # docutils has no tabs
                text = re.sub("^ {8}", "\t", text, flags=re.MULTILINE)
            test = f">>> write({self.options['caption']!r}, {text!r})\n"
        else:
            raise self.error("a code block must be a test, or say ':untested: why'")
        marks = {"testnodetype": "doctest", "groups": ["default"], "options": {}, "test": test}
        next(shown[0].findall(nodes.literal_block)).attributes.update(marks)
        return shown


def _as_doctest(text: str, status: int, until: str) -> str:
    """Return ``$ command`` lines, each with its output, as calls of `Scene.sh`."""
    if not text.startswith("$ "):
        raise ValueError(f"a console block begins with '$ ', not {text[:20]!r}")
    *commands, last = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    test = []
    for block, *ends in [*((command, 0, "") for command in commands), (last, status, until)]:
        command, _, output = block.partition("\n")
        test.append(f">>> sh({command!r}, {ends[0]}, {ends[1]!r})")
        test.extend(line or "<BLANKLINE>" for line in output.rstrip("\n").split("\n") if output)
    return "\n".join(test) + "\n"


@cache
def _installed(package: str) -> tuple[str, str]:
    """Return a directory in which a package for Glia is installed, and why it could not be.

    It is taken from where the tests have theirs, if ``NIBABEL_DATA_TEST_MECHANISMS`` names that;
    else pip is asked.
    """
    target = tempfile.mkdtemp(prefix="nibabel-data-doc-")
    atexit.register(shutil.rmtree, target)
    named = os.environ.get("NIBABEL_DATA_TEST_MECHANISMS")
    if named:
        for found in Path(named).glob(package.replace("-", "_") + "*"):
            shutil.copytree(found, Path(target, found.name))
        return target, "" if os.listdir(target) else f"{package} is not in {named}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--retries=1", "--timeout=15", "--target", target]
    done = subprocess.run(
        [*command, f"{package}=={PACKAGES[package]}"], capture_output=True, text=True
    )
    return target, f"pip: {done.stderr.strip()[-200:]}" if done.returncode else ""


def _why_not(need: str) -> str:
    if need in PACKAGES:
        return _installed(need)[1]
    if shutil.which(need) is None and find_spec(need.replace("+", "_")) is None:
        return f"{need} is not installed"
    return ""


class PageBuilder(DocTestBuilder):
    """Sphinx's doctest builder, which leaves out pages that need what is not here."""

    def test_doc(self, docname: str, doctree: nodes.Node) -> bool:
        """Run the blocks of a page; whether all is well."""
        for need in self.env.metadata[docname].get("needs", "").split():
            reason = _why_not(need)
            if reason:
                told = f"{docname} is left out, for it needs {need}: {reason}"
                print(told, file=sys.stderr)  # a warning would be an error
                self.outfile.write(f"{told}\n")
                return True
        return super().test_doc(docname, doctree)


def setup(app: Sphinx) -> dict[str, bool]:
    """Put the tested block and the builder in place of Sphinx's own."""
    app.setup_extension("sphinx.ext.doctest")
    app.add_directive("code-block", TestedBlock, override=True)
    app.add_builder(PageBuilder, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
