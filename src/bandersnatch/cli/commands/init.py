"""``init``: writes a first configuration, and reports what its mirror will cost."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.cli.arguments import DEFAULT_CONFIG, flag_value, project_names
from bandersnatch.cli.exit_codes import ExitCode
from bandersnatch.errors import BandersnatchError, ConfigError, OptionError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable

    from bandersnatch.cli.invocation import Invocation
    from bandersnatch.cli.session import Session
    from bandersnatch.config.draft import Draft

_CONFIG = Path("bandersnatch.conf")
_DIRECTORY = "mirror"
_EXAMPLE = "'python >= 3.11; linux x86_64 glibc 2.28'"
_LOCK_FILES = ("requirements.txt", "pylock.toml", "uv.lock", "poetry.lock")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``init``."""
    parser.add_argument(
        "--directory", metavar="DIR", help=f"where the mirror is kept (default: ./{_DIRECTORY})"
    )
    parser.add_argument(
        "--project",
        action="append",
        default=[],
        metavar="NAME",
        help="mirror this project; may be repeated",
    )
    parser.add_argument(
        "--requirements",
        action="append",
        default=[],
        metavar="FILE",
        help="mirror what FILE requires: a requirement file, pylock.toml, uv.lock or poetry.lock; "
        "may be repeated",
    )
    parser.add_argument(
        "--environment",
        action="append",
        default=[],
        metavar="TEXT",
        help=f"mirror only what an environment can install, such as {_EXAMPLE}; may be repeated",
    )
    parser.add_argument("--full", action="store_true", help="mirror all projects of the index")
    parser.add_argument("--master", metavar="URL", help="the index (default: PyPI)")


def run(invocation: Invocation) -> int:
    """Run ``init``."""
    arguments = invocation.arguments
    path = _CONFIG if arguments.config is DEFAULT_CONFIG else arguments.config
    _check_absent(path)
    draft = _draft(arguments, _ask_missing(arguments) if _can_ask() else arguments)
    files = _written(path, draft)
    session = _checked(invocation, path, files)
    invocation.logger.info("%s was written", path)
    return invocation.run(_report_cost(session, draft, path))


# ---------------------------------------------------------------- what is wanted


def _check_absent(path: Path) -> None:
    if os.path.lexists(path):
        message = f"{path} exists, and init replaces no file; name another one by -c FILE"
        raise UsageError(message)


def _can_ask() -> bool:
    return all(each is not None and each.isatty() for each in (sys.stdin, sys.stdout))


def _ask_missing(arguments: Namespace) -> Namespace:
    """Return the arguments with the answers to what they do not say.

    :raises UsageError: if the input ends.
    """
    found = Namespace(**vars(arguments))
    says_what = arguments.full or arguments.project or arguments.requirements
    if not arguments.directory:
        found.directory = _ask(f"Directory of the mirror [{Path(_DIRECTORY).resolve()}]: ")
    if not says_what:
        print(
            "What to mirror: names of projects, and requirement or lock files, separated by spaces;"
            " 'full' for all projects."
        )
        words = _ask("Mirror: ").split()
        found.full = words == ["full"]
        found.requirements = [] if found.full else [each for each in words if _is_file(each)]
        found.project = [] if found.full else [each for each in words if not _is_file(each)]
    if not (arguments.environment or says_what):
        print(f"For which environment, such as {_EXAMPLE}; empty for all.")
        found.environment = [each for each in [_ask("Environment: ")] if each]
    return found


def _ask(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        print()
        raise UsageError("the input has ended; nothing was written") from None


def _is_file(word: str) -> bool:
    return os.sep in word or Path(word).name in _LOCK_FILES or Path(word).is_file()


def _draft(arguments: Namespace, found: Namespace) -> Draft:
    """Return what the configuration says.

    :raises UsageError: if it cannot be used.
    """
    from bandersnatch.config import readers
    from bandersnatch.config.draft import Draft

    selects = bool(found.project or found.requirements)
    if found.full and selects:
        raise UsageError("--full mirrors all projects; leave out --project and --requirements")
    if not (found.full or selects):
        what = "--project NAME, --requirements FILE or --full"
        raise UsageError(f"nothing says what to mirror; add {what}")
    directory = flag_value("--directory", found.directory or _DIRECTORY, readers.path)
    master = flag_value("--master", arguments.master, readers.url("https", "http"))
    texts = [flag_value("--environment", each, readers.plain) for each in found.environment]
    return Draft(
        directory=str(Path(directory or _DIRECTORY).absolute()),
        projects=tuple(dict.fromkeys(project_names(found.project))),
        requirements=tuple(dict.fromkeys(map(_requirement_file, found.requirements))),
        environments=tuple(each for each in texts if each),
        master=master or "",
    )


def _requirement_file(text: str) -> str:
    """Return the absolute path of a file that exists.

    :raises UsageError: if it cannot be read, or is of a kind that cannot.
    """
    from bandersnatch.config import readers
    from bandersnatch.filters.lockfiles import is_lock_file

    path = Path(flag_value("--requirements", text, readers.path) or "").absolute()
    try:
        is_lock_file(path.name)
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise UsageError(f"--requirements {text} cannot be read: {error.strerror}") from error
    except OptionError as error:
        raise UsageError(f"--requirements {error}") from error


# ---------------------------------------------------------------- writing


def _written(path: Path, draft: Draft) -> list[Path]:
    """Write the configuration, and a file of the projects that stand beside lock files.

    Return the paths of both.

    :raises UsageError: if one exists or cannot be written; then neither is there.
    """
    from bandersnatch.config.draft import render_draft

    texts = {}
    if draft.projects and draft.requirements:
        extra = path.with_name(f"{path.stem}-projects.txt")
        texts[extra] = "".join(f"{name}\n" for name in draft.projects)
        files = (str(extra.absolute()), *draft.requirements)
        draft = structs.replace(draft, projects=(), requirements=files)
    texts[path] = render_draft(draft)
    found: list[Path] = []
    for each, text in texts.items():
        _write(each, text, found)
    return found


def _write(path: Path, text: str, found: list[Path]) -> None:
    from bandersnatch.storage.output import write_new

    try:
        write_new(str(path), text.encode())
    except OSError as error:
        _remove(found)
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    found.append(path)


def _remove(paths: Iterable[Path]) -> None:
    for each in paths:
        with suppress(OSError):
            each.unlink()


def _checked(invocation: Invocation, path: Path, files: Iterable[Path]) -> Session:
    """Return a session with the configuration; if it is invalid, its files are removed.

    :raises UsageError: if it is invalid.
    """
    from bandersnatch import app
    from bandersnatch.cli.session import Session

    try:
        configuration = app.load(path, invocation.clock.now())
    except ConfigError as error:
        _remove(files)
        why = "; ".join(str(each).replace(f"{path}, ", "") for each in error.problems)
        raise UsageError(f"nothing was written, because it would be invalid: {why}") from error
    for note in configuration.settings.notes:
        invocation.logger.warning("%s", note)
    arguments = Namespace(
        **{**vars(invocation.arguments), "command": "plan"},
        projects=[],
        bandwidth=None,
        files=False,
        json=False,
    )
    return Session(
        arguments, configuration, invocation.logger, invocation.clock, invocation.signals
    )


# ---------------------------------------------------------------- cost


async def _report_cost(session: Session, draft: Draft, path: Path) -> int:
    """Print what the mirror will cost and how to go on; return the exit code."""
    code: int = ExitCode.OK
    try:
        if draft.is_full:
            await _report_size(session)
        else:
            from bandersnatch.cli.commands import plan

            code = await plan.run(session)
    except BandersnatchError as error:
        text = "%s was written; what the mirror will cost could not be found out"
        session.logger.warning(text, path)
        raise error from None
    program = f"bandersnatch -c {shlex.quote(str(path))}"
    return session.answer(f"\nNext:\n  {program} mirror\n  {program} serve") or code


async def _report_size(session: Session) -> None:
    """Print the size of the whole index, which is one request."""
    from bandersnatch.app import open_index
    from bandersnatch.cli.log import EventLog
    from bandersnatch.cli.text import size

    async def ask() -> int | None:
        opened = open_index(session.configuration, EventLog(session.logger), session.clock)
        async with opened as index:
            return await index.total_size()

    total = await session.signals.interruptible(ask())
    if total is None:
        session.answer("The index does not state its size; ask: bandersnatch plan")
        return
    session.answer(f"All files of the index: {size(total)}.")
    session.answer("A full mirror downloads all of this, and grows every day.")
