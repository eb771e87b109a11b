"""Reading ini files so that a bad one is one clear error with its file and line.

The grammar is that of `configparser`, without interpolation.  A file of plain sections and
one-line values, as nearly all are, is read here and needs no import; every other one goes to
`configparser`, and a test holds that the two never disagree.  Both give the line of each value,
which `configparser` alone does not.
"""

from __future__ import annotations

import os
import stat

from .errors import ConfigError

__all__ = ["LARGEST", "Sections", "parse", "read_text", "settled", "signature", "value_lines"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Sections: TypeAlias = dict[str, dict[str, tuple[str, int]]]
    Signature: TypeAlias = tuple[int, int, int, int, int]
else:
    Sections = dict

LARGEST = 1 << 20
"""Bytes; a larger file is no configuration, and is not read."""

_SETTLE_NS = 2_000_000_000
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO in place of a file must not block
    | getattr(os, "O_BINARY", 0)
)


def signature(status: os.stat_result) -> Signature:
    """Return what changes in `status` when a file is edited or replaced."""
    return (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_ino,
        status.st_dev,
    )


def settled(seen: Signature, now_ns: int) -> bool:
    """Return whether a file seen now cannot change again and keep its signature.

    Clocks of file systems are coarse (two seconds at worst): of a file written a moment ago, a
    second edit of the same length could go unseen, so that nothing read from it may be kept.
    """
    return now_ns - max(seen[0], seen[1]) > _SETTLE_NS


def read_text(path: str, largest: int = LARGEST) -> tuple[str, Signature]:
    """Return the text of a file, and the signature of what was read.

    Parameters
    ----------
    path : str
        The file, in UTF-8, with or without a byte order mark.
    largest : int, optional
        Bytes; a larger file is not read.

    Returns
    -------
    text : str
        Its text, each line ended by a newline character alone.
    seen : tuple of int
        Its `signature`.

    Raises
    ------
    OSError
        If there is no such file, or no permission to read it.
    ConfigError
        If it is not a regular file, is larger than `largest`, is not UTF-8, or has a name that
        no file can have.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except ValueError as error:  # a NUL byte, or half a surrogate pair
        raise ConfigError(ascii(path), None, f"no file can have this name ({error})") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(path, None, "not a regular file")
        if status.st_size > largest:
            raise ConfigError(path, None, f"{status.st_size} bytes are too many for such a file")
        content = b""
        while piece := os.read(descriptor, max(4096, status.st_size + 1)):
            content += piece
            if len(content) > largest:  # its size is not known beforehand (/proc), or it grew
                raise ConfigError(path, None, "too long for such a file")
    finally:
        os.close(descriptor)
    try:
        text = content.decode("utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise ConfigError(path, line, f"not UTF-8 text (byte 0x{byte:02x})") from None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text, signature(status)


def parse(text: str, path: str) -> Sections:
    r"""Return the sections of an ini file: ``{section: {option: (value, line)}}``.

    Parameters
    ----------
    text : str
        The content, as `read_text` returns it.
    path : str
        The file, for the error.

    Returns
    -------
    dict
        Sections by name, ``DEFAULT`` included; options in lower case; values stripped, the
        lines of a value joined by newlines; lines counted from 1.

    Raises
    ------
    ConfigError
        If `configparser` refuses the text.

    Examples
    --------
    >>> parse('[DATA]\npath = /a\n', 'my.ini')
    {'DATA': {'path': ('/a', 2)}}
    >>> parse('path = /a\n', 'my.ini')
    Traceback (most recent call last):
    nibabel_data.errors.ConfigError: my.ini, line 1: a line before any [SECTION]: 'path = /a'
    """
    plain = _parse_plain(text)
    return _parse_any(text, path) if plain is None else plain


def value_lines(text: str, line: int, value: str) -> list[int]:
    r"""Return the number of the line on which each line of a value stands.

    Parameters
    ----------
    text : str
        The content of the file.
    line : int
        The line of the key.
    value : str
        The value, as `parse` returns it.

    Returns
    -------
    list of int
        One number for each line of `value`: comments between them are passed over.

    Examples
    --------
    >>> value_lines('[A]\nx = 1\n  # c\n  2\n', 2, '1\n2')
    [2, 4]
    """
    lines, numbers = text.split("\n"), [line]
    for _ in value.split("\n")[1:]:
        line += 1
        while line < len(lines) and lines[line - 1].strip()[:1] in ("#", ";"):
            line += 1
        numbers.append(line)
    return numbers


def _parse_plain(text: str) -> Sections | None:
    """Parse a text that needs none of the subtleties of `configparser`, else return None."""
    sections: Sections = {}
    options: dict[str, tuple[str, int]] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[":
            name = stripped[1:-1]
            if line[0] != "[" or stripped[-1] != "]" or not name or "]" in name:
                return None
            if name in sections:
                return None
            options = sections[name] = {}
            continue
        option, equals, value = stripped.partition("=")
        if ":" in option:
            option, equals, value = stripped.partition(":")
        option = option.rstrip().lower()
        if options is None or line[0].isspace() or not equals or not option or option in options:
            return None
        options[option] = (value.strip(), number)
    return sections


def _parse_any(text: str, path: str) -> Sections:
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, source=path)
    except configparser.MissingSectionHeaderError as error:
        problem = f"a line before any [SECTION]: {_shown(error.line)}"
        raise ConfigError(path, error.lineno, problem) from None
    except configparser.DuplicateOptionError as error:
        problem = f"a second {error.option!r} in [{error.section}]"
        raise ConfigError(path, error.lineno, problem) from None
    except configparser.DuplicateSectionError as error:
        raise ConfigError(path, error.lineno, f"a second [{error.section}]") from None
    except configparser.ParsingError as error:
        number, line = error.errors[0]
        problem = f"neither [SECTION] nor 'key = value': {_shown(str(line))}"
        raise ConfigError(path, number, problem) from None
    except configparser.Error as error:
        raise ConfigError(path, None, str(error)) from None
    lines = text.split("\n")
    defaults = parser.defaults()
    sections: Sections = {}
    for name in ["DEFAULT", *parser.sections()]:
        own: dict[str, tuple[str, int]] = {}
        for option, value in (defaults if name == "DEFAULT" else parser[name]).items():
            at = _line_of(lines, name, option)
            inherited = name != "DEFAULT" and at is None and defaults.get(option) == value
            if not inherited:
                own[option] = (value, at or 1)
        if own or name != "DEFAULT":
            sections[name] = own
    return sections


def _line_of(lines: list[str], section: str, option: str) -> int | None:
    """Return the number of the line that sets `option` in `section`, if it is seen."""
    current = ""
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if stripped.startswith("[") and "]" in stripped:
            current = stripped[1 : stripped.rindex("]")]
        elif current == section:
            key = stripped.replace(":", "=", 1) if ":" in stripped.split("=")[0] else stripped
            if key.partition("=")[0].rstrip().lower() == option:
                return number
    return None


def _shown(line: str) -> str:
    line = line.strip().strip("'\"").replace("\\n", "")
    return ascii(line if len(line) <= 60 else line[:57] + "...")
