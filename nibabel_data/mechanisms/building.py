"""From the source of one mechanism to a shared library: translate, compile, link; what failed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from os.path import join as pjoin

from ..errors import BuildError
from . import store

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
        If a step fails: its message is empty, and line and first error say what.  If it is the
        tools that fail, there is a message.
    OSError
        If the directory cannot be written.
    """
    translated = ""
    try:
        translated = _translate_to_register(folder, source, tools.neuron)
        _compile_somehow(folder, source, tools, translated, precompiled)
    except BuildError as error:
        if not str(error) and not store.is_shortage(error.first_error):
            _check_tools(folder, tools, compiles=bool(translated))
        raise
    return {
        "name": source.name,
        "source": source.path,
        "source_digest": source.digest,
        "neuron": tools.neuron.version,
        "neuron_root": tools.neuron.root,
        "compiler": tools.compiler().version,
    }


def _translate_to_register(folder: str, source: Prepared, neuron: Neuron) -> str:
    translated = translate(folder, source, neuron)
    with open(pjoin(folder, translated), "a", encoding="ascii") as out:
        out.write(_registering(source.name, c=neuron.writes_c))
    return translated


def _compile_somehow(
    folder: str, source: Prepared, tools: Toolchain, translated: str, precompiled: bool
) -> None:
    more = _precompiled(tools) if precompiled else []
    try:
        _compile(folder, source, tools, translated, more)
    except BuildError as error:
        if not more or str(error):
            raise
        _compile(folder, source, tools, translated, [])


def _check_tools(folder: str, tools: Toolchain, *, compiles: bool) -> None:
    """Raise if the step that failed does so with the least mechanism too: no source is at fault."""
    from tempfile import TemporaryDirectory

    from .nmodl import Source
    from .source import Prepared

    with TemporaryDirectory(dir=folder) as inner:
        content = {"probe.mod": b"NEURON { SUFFIX probe }\n"}
        probe = Prepared("probe", pjoin(inner, "probe.mod"), content, Source(), "", ())
        try:
            translated = _translate_to_register(inner, probe, tools.neuron)
            if compiles:
                _compile(inner, probe, tools, translated, [])
        except BuildError as error:
            if str(error):
                raise
            with_, variable = tools.neuron.nocmodl, "NRNHOME"
            if compiles:
                compiler = tools.compiler()
                with_ = f"{' '.join(compiler.command)} ({compiler.version})"
                variable = "CC" if tools.neuron.writes_c else "CXX"
            raise BuildError(
                f"nothing can be built for NEURON {tools.neuron.version} with {with_}:\n"
                f"  {error.first_error}\n"
                f"Mend that, or name another in {variable}; no mechanism is at fault."
            ) from None


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
    translated = f"{source.name}.{'c' if neuron.writes_c else 'cpp'}"
    _name_author_file(pjoin(folder, translated), pjoin(folder, f"{source.name}.mod"), source.path)
    return translated


def _name_author_file(translated: str, staged: str, path: str) -> None:
    """Let NEURON tell of the author's file, and not of a directory that will be gone."""
    with open(translated, encoding="utf-8", errors="surrogateescape", newline="") as file:
        text = file.read()
    # nocmodl writes the path as it was given or as realpath has it, in a C string.
    path = path.replace("\\", "\\\\").replace('"', '\\"')
    for form in dict.fromkeys((staged, os.path.realpath(staged))):
        text = text.replace(form, path)
    with open(translated, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)


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
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise BuildError(
            f"cannot run {command[0]}: {(error.strerror or str(error)).lower()}."
        ) from error
    if result.returncode == 0:
        return
    if result.returncode < 0:
        program, number = os.path.basename(command[0]), -result.returncode
        how = "crashed with" if number in _CRASHES else "was Killed by"
        raise BuildError("", first_error=f"{program} {how} signal {number}")
    output = (result.stderr + b"\n" + result.stdout).decode("utf-8", "replace")
    line, first = explain(output, source, folder)
    raise BuildError("", line=line, first_error=first or f"exit status {result.returncode}")


_CRASHES = (4, 6, 8, 11)
"""SIGILL, SIGABRT, SIGFPE, SIGSEGV: a program's own doing, and it will do so again."""

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


_GCC = re.compile(r"^(.+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", re.MULTILINE)
_LINKER = re.compile(r"(?:undefined reference to|undefined symbol:?) .*")


def _compiler_error(output: str, source: Prepared, folder: str) -> tuple[int | None, str]:
    found = _GCC.search(output)
    if found is not None:
        return _line_of_c(pjoin(folder, found[1]), int(found[2]), source), found[3]
    linked = _LINKER.search(output)
    if linked is not None:
        return None, linked[0]
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if store.is_circumstance(line)]
    told += [line for line in lines if "error" in line.lower() and _ONLY_A_STATUS not in line]
    return None, "".join([*told, *lines][:1])


_ONLY_A_STATUS = "ld returned"


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
