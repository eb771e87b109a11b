"""``mech compile`` and ``mech test``: mechanisms built ahead of time, and tried."""

from __future__ import annotations

import argparse
import sys

from ..errors import BuildError, DefinitionError, MechanismError
from ..mechanisms.compiling import CompileReport, compile, everything
from ..mechanisms.names import is_full_name, split_name
from ..mechanisms.resolution import MechanismName, resolve
from ..mechanisms.store import cache_directory, record
from .output import paint, print_json, print_table, shown
from .progress import bar

__all__ = ["compile_all", "failures_json", "print_failures", "test"]


def compile_all(arguments: argparse.Namespace) -> int:
    """Build mechanisms, and print what was built, what was there, what failed; 1 if any did."""
    if arguments.jobs is not None and arguments.jobs < 1:
        raise DefinitionError(f"--jobs {arguments.jobs}: at least one is needed")
    if arguments.gpu and not arguments.coreneuron:
        raise DefinitionError("--gpu needs --coreneuron")
    if arguments.coreneuron:
        return _for_coreneuron(arguments)
    names, report = _compiled(arguments.assets, arguments.jobs, arguments.to)
    if arguments.json:
        print_json(_dict(report))
        return 1 if report.failed else 0
    made = set(report.made)
    for name in sorted(report.libraries):
        if name in made or arguments.assets:
            done = paint(f"{'built' if name in made else 'there':<6}", "green")
            print(f"{done}  {shown(name)}")
    for name in names:
        if not name.mechanism.path:
            print(f"{paint('NEURON', 'dim')}  {name} (comes with it: nothing to build)")
    print_failures(report.failed)
    there = len(report.libraries) - len(made)
    place = arguments.to or cache_directory()
    told = f"{len(made)} built, {there} there, {len(report.failed)} failed"
    print(f"{told}, in {shown(place)}")
    return 1 if report.failed else 0


def _compiled(
    assets: list[str], jobs: int | None = None, to: str | None = None
) -> tuple[list[MechanismName], CompileReport]:
    """Return what was asked for, and what became of it; a bar shows how far it is."""
    names, ambiguous = ([resolve(asset) for asset in assets], {}) if assets else everything()
    building = list(dict.fromkeys(name for name in names if name.mechanism.path))
    report = CompileReport()
    if building:
        with bar("compile", len(building)) as progress:
            report = compile(*building, jobs=jobs, to=to, quiet=True, progress=progress)
    report.failed.update(ambiguous)
    return list(dict.fromkeys(names)), report


def print_failures(failed: dict[str, MechanismError]) -> None:
    """Print each mechanism that failed: its package, file and line, and the first error."""
    for name, error in failed.items():
        package = split_name(name)[0] if is_full_name(name) else ""
        of = f" (package {package})" if package else ""
        print(f"{paint('failed', 'red')}  {shown(name)}{of}")
        if isinstance(error, BuildError) and error.first_error:
            line = f", line {error.line}" if error.line else ""
            print(shown(f"    {error.path}{line}\n    {error.first_error}"))
        else:
            print("    " + shown(error).replace("\n", "\n    "))


def _for_coreneuron(arguments: argparse.Namespace) -> int:
    """Build for NEURON, then all of it in one library for CoreNEURON; status 1 if any failed."""
    import warnings

    from ..errors import DataWarning
    from ..mechanisms.coreneuron import compile_coreneuron, how_to_run

    if arguments.to is not None:
        raise DefinitionError("--to and --coreneuron exclude each other: it is built in the cache")
    _, report = _compiled(arguments.assets, arguments.jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # what is left out is told below
        path = compile_coreneuron(*arguments.assets, gpu=arguments.gpu)
    told = record(path)
    refused = {str(name): str(first) for name, first in told["refused"].items()}
    failed = bool(report.failed or refused)
    if arguments.json:
        print_json({
            **_dict(report),
            "coreneuron": {
                "path": path,
                "mechanisms": told["mechanisms"],
                "refused": [{"name": n, "first_error": first} for n, first in refused.items()],
            },
        })  # fmt: skip
        return 1 if failed else 0
    print_failures(report.failed)
    for name, first in refused.items():
        print(f"{paint('refused', 'red')} by CoreNEURON: {shown(name)}\n    {shown(first)}")
    print(f"{len(report.made)} built for NEURON, {len(report.failed)} failed")
    print(f"{len(told['mechanisms'])} in the library of CoreNEURON, {len(refused)} refused\n")
    print(shown(how_to_run(path)))
    return 1 if failed else 0


def _dict(report: CompileReport) -> dict[str, object]:
    made = set(report.made)
    return {
        "built": {name: path for name, path in report.libraries.items() if name in made},
        "there": {name: path for name, path in report.libraries.items() if name not in made},
        "failed": failures_json(report.failed),
    }


def failures_json(failed: dict[str, MechanismError]) -> list[dict[str, object]]:
    """Return for machines what `print_failures` prints."""
    return [
        {
            "name": name,
            "package": split_name(name)[0] if is_full_name(name) else None,
            "path": getattr(error, "path", "") or None,
            "line": getattr(error, "line", None),
            "first_error": getattr(error, "first_error", "") or None,
            "message": str(error),
        }
        for name, error in failed.items()
    ]


def test(arguments: argparse.Namespace) -> int:
    """Insert and run each mechanism, and print what is wrong with any; status 1 if something is."""
    from ..mechanisms import trial

    _compiled(arguments.assets)  # with a bar; then everything is there
    results = trial.test(*arguments.assets)
    if arguments.json:
        print_json([
            {"name": name, "ok": not problem, "problem": problem or None}
            for name, problem in results.items()
        ])  # fmt: skip
        return 1 if any(results.values()) else 0
    if results:
        rows = [(name, "fails" if problem else "runs") for name, problem in results.items()]
        colours = ["red" if problem else "green" for problem in results.values()]
        print_table(("MECHANISM", "RESULT"), rows, colours)
    for name, problem in results.items():
        if problem:
            print(f"\n{paint('fails', 'red')}: {shown(name)}")
            print("    " + shown(problem).replace("\n", "\n    "))
    failed = sum(map(bool, results.values()))
    print(f"\n{len(results) - failed} run, {failed} fail" if results else "nothing is installed")
    sys.stdout.flush()
    return 1 if failed else 0
