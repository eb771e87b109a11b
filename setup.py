"""The commands of setuptools that this project extends; its metadata are in ``pyproject.toml``.

``build_py`` puts the example package into the wheel, so that ``nibabel-data demo`` works from an
installation.  ``install`` ends with the check that data packages are there, as the installers of
data-using libraries did of old: it runs under ``python setup.py install``, the one command after
which setuptools still calls code of ours.  Under pip nothing runs after the installation; there,
``nibabel-data require`` is the check.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.install import install

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE / "examples" / "nipy-examplepkg" / "nipy"
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


setup(cmdclass={"build_py": BuildWithExample, "install": InstallAndCheck})
