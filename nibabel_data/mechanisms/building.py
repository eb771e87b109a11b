"""From the source of one mechanism to a shared library: translate, compile, link; what failed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from os.path import join as pjoin

from ..errors import BuildError

__all__ = ["LIBRARY", "translate", "translate_and_compile"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .library import Toolchain
    from .source import Prepared
    from .toolchain import Neuron

    Told = tuple[int | None, str]
    Explain = Callable[[str, Prepared, str], Told]

LIBRARY = "mechanism.so"
"""What the library is called, whatever is in it."""


def translate_and_compile(
    folder: str, source: Prepared, tools: Toolchain, precompiled: bool
) -> dict[str, object]:
    """Make the library of a mechanism in an empty directory.

    Parameters
    ----------
    folder : str
        The directory; sources and what the translator writes stay in it.
    source : Prepared
        The mechanism.
    tools : Toolchain
        What builds it.
    precompiled : bool
        Whether NEURON's headers are to be precompiled.

    Returns
    -------
    dict
        What made it, for the record.

    Raises
    ------
    BuildError
        If a step fails: its message is empty, and line and first error say what.
    OSError
        If the directory cannot be written.
    """
    neuron = tools.neuron
    translated = translate(folder, source, neuron)
    with open(pjoin(folder, translated), "a", encoding="ascii") as out:
        out.write(_registering(source.name, c=neuron.writes_c))
    try:
        _compile(folder, source, tools, translated, _precompiled(tools) if precompiled else [])
    except BuildError:
        if not precompiled:
            raise
        _compile(folder, source, tools, translated, [])
    return {
        "name": source.name,
        "source": source.path,
        "source_digest": source.digest,
        "neuron": neuron.version,
        "compiler": tools.compiler().version,
    }


def _precompiled(tools: Toolchain) -> list[str]:
    from .headers import precompiled_header
    from .library import cache_directory

    return precompiled_header(cache_directory(), tools)


def _compile(
    folder: str, source: Prepared, tools: Toolchain, translated: str, more: list[str]
) -> None:
    naming = [] if sys.platform == "darwin" else [f"-Wl,-soname,{source.name}.so"]
    compiling = [*tools.compiler().command, *tools.neuron.flags(), *more, "-fPIC", "-shared"]
    compiling += ["-I.", f"-I{source.folder}", translated, "-o", LIBRARY]
    _run([*compiling, *naming, *tools.neuron.link_flags()], folder, {}, source, _compiler_error)


def translate(folder: str, source: Prepared, neuron: Neuron) -> str:
    """Write the source of a mechanism to an empty directory, and what ``nocmodl`` makes of it.

    Parameters
    ----------
    folder : str
        The directory.
    source : Prepared
        The mechanism.
    neuron : Neuron
        Whose translator is to be used.

    Returns
    -------
    str
        The name of the file in C or C++.

    Raises
    ------
    BuildError
        If the translator refuses it: its message is empty, and line and first error say what.
    OSError
        If the directory cannot be written.
    """
    for name, content in source.files.items():
        with open(pjoin(folder, name), "xb") as file:
            file.write(content)
    translating = [neuron.nocmodl, f"{source.name}.mod"]
    _run(translating, folder, {"MODLUNIT": neuron.units}, source, _nocmodl_error)
    return f"{source.name}.{'c' if neuron.writes_c else 'cpp'}"


def _registering(name: str, *, c: bool) -> str:
    """Return what NEURON calls in a library: it registers the one mechanism, silently."""
    if c:
        return f"\nextern void _{name}_reg(void);\nvoid modl_reg(void) {{ _{name}_reg(); }}\n"
    return f'\nextern "C" void modl_reg() {{ _{name}_reg(); }}\n'


def _run(
    command: list[str], folder: str, more: dict[str, str], source: Prepared, explain: Explain
) -> None:
    import subprocess

    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": folder, **more}
    try:
        result = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, check=False
        )
    except OSError as error:
        raise BuildError(
            f"cannot run {command[0]}: {(error.strerror or str(error)).lower()}."
        ) from error
    if result.returncode == 0:
        return
    if result.returncode < 0:
        program = os.path.basename(command[0])
        raise BuildError("", first_error=f"{program} was Killed by signal {-result.returncode}")
    output = (result.stderr + b"\n" + result.stdout).decode("utf-8", "replace")
    line, first = explain(output, source, folder)
    raise BuildError("", line=line, first_error=first or f"exit status {result.returncode}")


_AT_LINE = re.compile(r" at line (\d+) in file \S+| in file \S+$")


def _nocmodl_error(output: str, source: Prepared, _: str) -> tuple[int | None, str]:
    """Its messages: ``Error: text at line N in file F``, after ``syntax error:`` perhaps."""
    lines = [line.strip() for line in output.splitlines()]
    errors = [line for line in lines if line.startswith("Error:")]
    told = errors or [line for line in lines if line and not line.startswith(_REMARKS)]
    if not told:
        return None, ""
    found = _AT_LINE.search(told[0])
    message = _AT_LINE.sub("", told[0]).removeprefix("Error:").strip()
    if "syntax error:" in lines:
        message = f"syntax error: {message}"
    if found is not None and found[1]:
        return int(found[1]), message
    return _line_declaring(message.partition(" ")[0], source), message


_REMARKS = ("Translating", "Notice:", "Thread Safe", "Warning:", "NEURON's CVode")


def _line_declaring(word: str, source: Prepared) -> int | None:
    """Of an error about a name, the line that declares a function of it, or that has it first."""
    if not word.isidentifier():
        return None
    text = source.files[f"{source.name}.mod"].decode("ascii")
    for pattern in (rf"\b(?:FUNCTION|PROCEDURE)\s+{word}\b", rf"\b{word}\b"):
        found = re.search(pattern, text)
        if found is not None:
            return text.count("\n", 0, found.start()) + 1
    return None


_GCC = re.compile(r"^(\S+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", re.MULTILINE)
_LINKER = re.compile(r"(?:undefined reference to|undefined symbol:?) .*")


def _compiler_error(output: str, source: Prepared, folder: str) -> tuple[int | None, str]:
    found = _GCC.search(output)
    if found is not None:
        return _line_of_c(pjoin(folder, found[1]), int(found[2]), source), found[3]
    linked = _LINKER.search(output)
    if linked is not None:
        return None, linked[0]
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return None, next((line for line in lines if "error" in line.lower()), "".join(lines[:1]))


def _line_of_c(path: str, number: int, source: Prepared) -> int | None:
    """Return the line of the NMODL source that has the C text of a line that ``nocmodl`` wrote.

    ``nocmodl`` writes no ``#line``; C blocks it copies as they are.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            wanted = file.read().split("\n")[number - 1].strip()
    except (OSError, IndexError):
        return None
    lines = source.files[f"{source.name}.mod"].decode("ascii").split("\n")
    matching = [i for i, line in enumerate(lines, 1) if line.strip() == wanted]
    return matching[0] if wanted and len(matching) == 1 else None
