"""The commands of setuptools that this project extends; its metadata are in ``pyproject.toml``.

``build_py`` puts the example package into the wheel, so that ``nibabel-data demo`` works from an
installation.  ``install`` ends with the check that data packages are there, as the installers of
data-using libraries did of old: it runs under ``python setup.py install``, the one command after
which setuptools still calls code of ours.  Under pip nothing runs after the installation; there,
``nibabel-data require`` is the check.

``bundle_client`` puts Neuroglancer's web client into the package, so that a wheel carries it and
the viewer does without the ``neuroglancer`` package::

    python setup.py bundle_client [--from=DIRECTORY or WHEEL] bdist_wheel

One extension is compiled, for the viewer, if there is a C compiler: without one the library is
whole, and shows coarser scales more slowly.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build_py import build_py
from setuptools.command.install import install

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE / "examples" / "nipy-examplepkg" / "nipy"
CLIENT = HERE / "nibabel_data" / "viewer" / "static"
OPTIONAL_DATA = ("nipy/templates>=0.3", "nipy/data>=0.3")


class BuildWithExample(build_py):
    """Build, and add the example package to what was built."""

    def run(self) -> None:
        """Copy the package's files, and the example's."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "nibabel_data", "example", "nipy")
            shutil.copytree(EXAMPLE, target, dirs_exist_ok=True)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return every file that was built, the example's too."""
        built = Path(self.build_lib, "nibabel_data", "example")
        files: list[str] = super().get_outputs(include_bytecode)
        return files + [str(path) for path in built.rglob("*") if path.is_file()]


class BundleClient(Command):
    """Put a built web client, and its licence, into the package."""

    description = "put Neuroglancer's web client into the package, for the wheel to carry it"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = [
        ("from=", None, "a directory of a built client, or a wheel of neuroglancer; by default "
                        "that of the neuroglancer that is installed"),
        ("license=", None, "the file of its licence, if it is not beside the client"),
    ]  # fmt: skip

    def initialize_options(self) -> None:
        """Take the installed client."""
        vars(self).update({"from": None, "license": None})

    def finalize_options(self) -> None:
        """Leave the options as they are given."""

    def run(self) -> None:
        """Copy the files beside the place where they belong, and put them there at once."""
        given = vars(self)["from"]
        with tempfile.TemporaryDirectory(dir=CLIENT.parent, prefix=".static-") as staged:
            if given is not None and given.endswith(".whl"):
                with zipfile.ZipFile(given) as wheel:
                    wheel.extractall(Path(staged, "wheel"))
                found = Path(staged, "wheel", "neuroglancer", "static", "client")
                licences = list(Path(staged, "wheel").glob("*.dist-info/**/LICENSE*"))
            elif given is not None:
                found = Path(given)
                licences = [one for top in (found, *found.resolve().parents[:2])
                            for one in sorted(top.glob("LICEN[CS]E*"))]  # fmt: skip
            else:
                found, licences = installed_client()
            if vars(self)["license"] is not None:
                licences = [Path(vars(self)["license"])]
            if not (found / "index.html").is_file():
                raise SystemExit(f"{given or 'neuroglancer'} has no built client: no index.html")
            if not licences:
                raise SystemExit(f"{given} has no file LICENSE: name it by --license=FILE")
            new = Path(staged, "static")
            shutil.copytree(found, new, ignore=shutil.ignore_patterns("*.map", ".*"))
            shutil.copy(licences[0], new / "LICENSE")
            if CLIENT.exists():
                CLIENT.rename(Path(staged, "old"))
            new.rename(CLIENT)
        size = sum(path.stat().st_size for path in CLIENT.rglob("*") if path.is_file())
        print(f"bundled {found}: {size / 1e6:.1f} MB in {CLIENT}")


def installed_client() -> tuple[Path, list[Path]]:
    """Return the client of the installed neuroglancer, and its licence."""
    try:
        package = metadata.distribution("neuroglancer")
    except metadata.PackageNotFoundError:
        raise SystemExit("neuroglancer is not installed: pip install neuroglancer") from None
    licences = [file for file in package.files or () if file.name.startswith("LICENSE")]
    found = Path(str(package.locate_file("neuroglancer/static/client")))
    return found, [Path(str(file.locate())) for file in licences]


class InstallAndCheck(install):
    """Install, then say which data packages are not there yet."""

    def run(self) -> None:
        """Install, and check unless it is into a staging directory or a wheel."""
        super().run()
        if self.root is None:
            check_data()


def check_data() -> None:
    """Print what to do about each optional data package that is missing."""
    sys.path.insert(0, str(HERE))
    from nibabel_data import explain

    for spec in OPTIONAL_DATA:
        answer = explain(spec)
        label = "optional data" if answer.found is None else "data"
        print(f"{label}: {answer.headline()}")
        for step in answer.next_steps():
            print(f"    {step}".replace("\n", "\n    "))


# One build serves every Python from 3.11 on, but for those without the interpreter's lock.
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")
DOWNSAMPLE = Extension(
    "nibabel_data.viewer._downsample",
    ["nibabel_data/viewer/_downsample.c"],
    depends=["nibabel_data/viewer/_downsample_mode.h"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE else [],
    extra_compile_args=["-O3"] if os.name == "posix" else [],
    py_limited_api=STABLE,
    optional=True,
)

setup(
    cmdclass={
        "build_py": BuildWithExample,
        "bundle_client": BundleClient,
        "install": InstallAndCheck,
    },
    ext_modules=[DOWNSAMPLE],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE else {},
)
