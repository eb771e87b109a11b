"""The verbs of packages: what each takes, and where it is done."""

from __future__ import annotations

from .arguments import SPEC, Verb

__all__ = ["VERBS", "add_place", "add_results"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

DIRECTORY = "a distribution directory, or the package's own"


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where a new package is made."""
    parser.add_argument(
        "--directory", metavar="DIR", help="make it there (the default is PROJECT-PACKAGE)"
    )


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is built, and where it goes."""
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="where the results go (the default is dist)"
    )
    parser.add_argument("--wheel", action="store_true", help="the wheel only")
    parser.add_argument("--sdist", action="store_true", help="the sdist only")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", metavar="SPEC", nargs="*", default=[], help=SPEC)
    parser.add_argument("--all", action="store_true", help="every package on the search path")
    parser.add_argument(
        "--full", action="store_true", help="read every file again, also unchanged ones"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="read N files at a time")
    parser.add_argument(
        "--locked",
        metavar="FILE",
        nargs="?",
        const="data.lock",
        help="compare with a lock file, data.lock by default",
    )


def _lock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", metavar="SPEC", nargs="*", default=[], help=SPEC)
    parser.add_argument(
        "--pyproject",
        metavar="FILE",
        default="pyproject.toml",
        help="whose table [tool.nibabel-data] names the packages, where no SPEC does",
    )
    parser.add_argument("-o", "--output", metavar="FILE", default="data.lock", help="the lock file")


def _sync(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lock", metavar="FILE", nargs="?", default="data.lock", help="data.lock")
    parser.add_argument(
        "--frozen", action="store_true", help="install nothing; status 1 if anything differs"
    )
    parser.add_argument(
        "--from", dest="source", metavar="SOURCE", help="a directory or a bundle to install from"
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--prefix", metavar="DIR", help="install below DIR/share/nipy")
    place.add_argument("--root", metavar="DIR", help="install below DIR")


def _install(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a directory, .zip, .tar.*, wheel, sdist")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--user", action="store_true", help="for this user (this is the default)")
    place.add_argument("--prefix", metavar="DIR", help="below DIR/share/nipy")
    place.add_argument(
        "--system", action="store_true", help="for all users, below /usr/local/share/nipy"
    )
    place.add_argument("--root", metavar="DIR", help="below DIR, readable by all")
    parser.add_argument(
        "--destdir",
        metavar="DIR",
        help="put DIR before the place, for distribution packagers (with --prefix and --system the "
        "default is the variable DESTDIR)",
    )
    parser.add_argument(
        "--as",
        dest="relpath",
        metavar="PROJECT/PACKAGE",
        help="where the package stands below the root",
    )
    parser.add_argument("--link", action="store_true", help="use the directory in place")
    parser.add_argument(
        "--force", action="store_true", help="replace a newer version, or what was not installed"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="copy N files at a time")


def _remove(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", metavar="SPEC", nargs="+", help=SPEC)


def _bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", metavar="SPEC", nargs="+", help=SPEC)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the zip, NAME.zip")


def _new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="PROJECT/PACKAGE", help="such as mylab/atlas")
    add_place(parser)
    parser.add_argument(
        "--license",
        metavar="SPDX",
        default="CC0-1.0",
        help="the licence of the data, by its SPDX identifier (the default is CC0-1.0)",
    )
    parser.add_argument("--author", metavar="NAME", default="", help="who made the data")


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", default=".", help=DIRECTORY)


def _bump(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("part", choices=("major", "minor", "micro"), help="which number to raise")
    parser.add_argument("directory", metavar="DIR", nargs="?", default=".", help=DIRECTORY)


def _build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help=DIRECTORY)
    add_results(parser)


def _cite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", metavar="SPEC", nargs="+", help=SPEC)
    parser.add_argument(
        "--format",
        choices=("bibtex", "apa", "plain", "cff"),
        default="bibtex",
        help="the form (the default is bibtex)",
    )


def _fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC", help=SPEC)
    parser.add_argument(
        "patterns",
        metavar="PATTERN",
        nargs="*",
        default=[],
        help="files in the package, '*' and '**' allowed; a directory stands for all below it (the "
        "default is everything)",
    )
    parser.add_argument("--offline", action="store_true", help="do without the network")
    parser.add_argument(
        "--jobs", type=int, metavar="N", default=4, help="fetch N files at a time (default: 4)"
    )


def _cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prune", action="store_true", help="remove what no installed package refers to"
    )
    parser.add_argument(
        "--all", action="store_true", help="remove everything; fetched files are fetched again"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what --prune or --all would remove"
    )


VERBS = (
    Verb("new", "new:new", "make a new, empty package", _new, json=False),
    Verb("check", "check:check", "say what is wrong with a package, and the mend", _check),
    Verb("bump", "bump:bump", "raise the version of a package", _bump, json=False),
    Verb("build", "build:build", "build wheel and sdist of a package", _build, json=False),
    Verb("install", "install:install", "install a package, all or nothing", _install),
    Verb("remove", "install:remove", "remove a package, but no file that was added", _remove),
    Verb(
        "bundle",
        "install:bundle",
        "put packages into one file, for a machine without a network",
        _bundle,
        json=False,
    ),
    Verb("fetch", "fetch:fetch", "download files that a package does not carry", _fetch),
    Verb("verify", "verify:verify", "check that packages hold what they were made of", _verify),
    Verb("cite", "cite:cite", "print how packages are to be cited", _cite),
    Verb("lock", "lock:lock", "write down exactly which data a project uses", _lock),
    Verb("sync", "lock:sync", "install what a lock file says", _sync),
    Verb("cache", "cache:cache", "list what was fetched and is remembered; prune it", _cache),
)
