"""Trying mechanisms for real: each is inserted and run, in a process of its own.

One that crashes NEURON is found out so, and takes nothing with it.  NEURON is imported once; each
trial is a fork of that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from ..errors import MechanismError
from .resolution import MechanismName, resolve
from .source import prepare

__all__ = ["test"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .accessor import InsertedMechanism
    from .resolution import Asset

_STEPS = 40
_SECONDS = 60


def test(*assets: Asset) -> dict[str, str]:
    """Insert mechanisms in a section and run each for a few steps.

    Parameters
    ----------
    *assets : str or tuple of str
        Which, as in `insert`; everything that is installed if none is named.

    Returns
    -------
    dict of str
        By full name, what is wrong; empty if nothing is.

    Raises
    ------
    ResolveError
        If one of `assets` is not there, or ambiguous.
    MechanismError
        If NEURON cannot be started.
    """
    from .compiling import compile, everything

    names, ambiguous = ([resolve(asset) for asset in assets], {}) if assets else everything()
    report = compile(*[n for n in names if n.mechanism.path], quiet=True)
    results = {str(name): "" for name in names}
    results.update({name: str(error) for name, error in ambiguous.items()})
    results.update({str(name): str(error) for name, error in report.failed.items()})
    sound = [name for name in names if name not in report.failed]
    if sound:
        results.update(_in_another_process(sound))
    return results


test.__test__ = False  # type: ignore[attr-defined]  # pytest: no test, though it is called so


def _in_another_process(names: list[MechanismName]) -> dict[str, str]:
    with TemporaryDirectory() as folder:  # NEURON would load an x86_64 of this one
        result = subprocess.run(
            [sys.executable, "-m", __name__, *names],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "NEURON_MODULE_OPTIONS": "-nogui",
                "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path),
            },
        )
    found: dict[str, str] = {}
    for line in result.stdout.splitlines():
        if line.startswith(_MARK):
            name, problem = json.loads(line.removeprefix(_MARK))
            found[name] = problem
    if not found:
        raise MechanismError(
            f"the trial of {len(names)} mechanisms did not start:\n{result.stderr.strip()[-2000:]}"
        )
    untried = f"it was not tried: the trial ended with exit status {result.returncode}"
    return {str(name): found.get(name, untried) for name in names}


_MARK = "nibabel-data-trial "
_DONE = "done:"


def _main(names: list[str]) -> None:
    from .engine import interpreter

    interpreter()
    for name in names:
        print(_MARK + json.dumps([name, _in_fork(name)]), flush=True)


def _in_fork(name: str) -> str:
    """Return what is wrong with one mechanism, tried in a child of this process."""
    import signal

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(_SECONDS)
        try:
            problem = _tried(name)
        except MechanismError as error:
            problem = str(error)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        os.write(writing, (_DONE + problem).encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        problem = file.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        which = signal.Signals(os.WTERMSIG(status)).name
        if which == "SIGALRM":
            return f"it runs for more than {_SECONDS} s"
        return f"NEURON crashes with {which}"
    if os.WEXITSTATUS(status) != 0:
        return f"NEURON ends with exit status {os.WEXITSTATUS(status)}"
    return problem.removeprefix(_DONE) if problem.startswith(_DONE) else "NEURON ends the process"


def _tried(name: str) -> str:
    import math

    from .engine import insert, interpreter, load

    h = interpreter()
    found = resolve(name)
    if load(found.mechanism) == "functions":
        return ""  # there is nothing to insert
    section = h.Section(name="trial")
    inserted = insert(section, found)
    for pointer in _pointers(inserted):
        owner = inserted.point_process or getattr(section(0.5), inserted.name)
        h.setpointer(section(0.5)._ref_v, pointer, owner)
    h.finitialize(-65)
    for _ in range(_STEPS):
        h.fadvance()
    if not math.isfinite(section(0.5).v):
        return f"the membrane potential is {section(0.5).v} after {_STEPS} steps"
    return ""


def _pointers(inserted: InsertedMechanism) -> tuple[str, ...]:
    """Variables that a model has to point somewhere before it runs."""
    mechanism = inserted.name.mechanism
    return prepare(mechanism).scanned.pointers if mechanism.path else ()


if __name__ == "__main__":
    _main(sys.argv[1:])
