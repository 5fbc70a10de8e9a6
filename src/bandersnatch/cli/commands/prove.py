"""``prove``: proves that the mirror alone can install what is asked for, in each environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bandersnatch.cli.text import counted, one_line
from bandersnatch.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Sequence

    from bandersnatch.cli.session import Session
    from bandersnatch.closure.targets import Target
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.queries.prove import Proof, Question
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.wheels import Environment

_SHOWN = 50
"""Answers that are not a pass, and reasons of each, that are printed one by one."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``prove``."""
    parser.add_argument(
        "requirements",
        nargs="*",
        metavar="REQUIREMENT",
        help="what is to be installed, such as 'flask>=3' (default: all selected projects)",
    )
    parser.add_argument(
        "-r",
        "--requirement",
        action="append",
        default=[],
        metavar="FILE",
        help="prove a file of requirements, or a lock file entry by entry",
    )
    parser.add_argument(
        "--environment",
        action="append",
        default=[],
        metavar="NAME",
        help="only for this environment of [environments]; repeatable",
    )
    parser.add_argument(
        "--each", action="store_true", help="each requirement for itself, not all together"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--write-lock", metavar="FILE", help="write what was found as a lock file (pylock.toml)"
    )
    parser.add_argument(
        "--index",
        metavar="URL",
        help="the address of the mirror in the lock file, or 'pypi' (default: root_uri)",
    )


async def run(session: Session) -> int:
    """Run ``prove``."""
    from bandersnatch.cli.exit_codes import ExitCode
    from bandersnatch.mirror.proofs import ProofResult
    from bandersnatch.mirror.queries.prove import summarize

    arguments = session.arguments
    targets = _targets(session.configuration.environments, arguments.environment)
    locks, questions = _questions(arguments)
    _check_lock_flags(arguments, session, has_only_locks=bool(locks) and not questions)
    is_whole = not (locks or questions)
    proofs, locate = await session.query(
        lambda mirror: _prove(mirror, arguments, targets, locks, questions)
    )
    if arguments.write_lock:
        _write_lock(session, proofs, locate)
    if is_whole and not arguments.environment:
        await _remember(session, proofs)
    if arguments.json:
        found = summarize(proofs, session.clock.now())
        text = json.dumps(
            {
                "passed": found.passed,
                "failed": found.failed,
                "unproved": found.unproved,
                "proofs": [each.as_dict() for each in proofs],
            },
            indent=2,
        )
    else:
        text = "\n".join(map(one_line, proof_lines(proofs)))
    has_passed = all(each.result is ProofResult.PASSED for each in proofs)
    return session.answer(text) or (ExitCode.OK if has_passed else ExitCode.DAMAGE)


def _targets(environments: Sequence[Environment], names: Sequence[str]) -> tuple[Target, ...]:
    """Return the targets of the named environments, or of all.

    :raises UsageError: if there is no environment of a name.
    """
    from bandersnatch.closure.targets import targets_of

    known = {each.name: each for each in environments}
    for name in names:
        if name not in known:
            declared = ", ".join(known) or "none"
            raise UsageError(f"--environment {name}: [environments] declares {declared}")
    return targets_of([known[name] for name in names] if names else environments)


def _questions(
    arguments: Namespace,
) -> tuple[list[tuple[str, str]], list[Question]]:
    """Return the lock files with their texts, and the questions that the arguments ask.

    :raises UsageError: if an argument or a file cannot be read.
    """
    from bandersnatch.closure.requirements import parse_requirement
    from bandersnatch.errors import OptionError
    from bandersnatch.filters.lockfiles import is_lock_file
    from bandersnatch.filters.names import decoded
    from bandersnatch.mirror.queries.prove import Question

    locks, questions = [], []
    for text in arguments.requirements:
        found = parse_requirement(text)
        if found is None or found.mended or found.url:
            raise UsageError(f"{text!a} is not a requirement on a project, such as 'flask>=3'")
        questions.append(Question(text, (found,)))
    for path in arguments.requirement:
        try:
            text = decoded(path, Path(path).read_bytes())
            if is_lock_file(Path(path).name):
                locks.append((path, text))
            else:
                questions += _of_file(path, text)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
        except OptionError as error:
            raise UsageError(str(error)) from error
    return locks, questions


def _of_file(path: str, text: str) -> list[Question]:
    """Return a question for each line of a requirement file; options are not read.

    :raises UsageError: if a line is not a requirement on a project of the index.
    """
    from bandersnatch.closure.requirements import parse_requirement
    from bandersnatch.filters.requirements import logical_lines
    from bandersnatch.mirror.queries.prove import Question

    found = []
    for line in logical_lines(path, text):
        stated = line.text.partition(" --")[0].strip()
        if stated.startswith("-"):
            raise UsageError(f"{line.origin}: prove reads no options; name that file with -r")
        requirement = parse_requirement(stated)
        if requirement is None or requirement.url:
            raise UsageError(f"{line.origin}: it is not a requirement on a project of the index")
        found.append(Question(stated, (requirement,)))
    if not found:
        raise UsageError(f"{path} has no requirement")
    return found


async def _prove(
    mirror: Mirror,
    arguments: Namespace,
    targets: Sequence[Target],
    locks: Sequence[tuple[str, str]],
    questions: list[Question],
) -> tuple[list[Proof], Callable[[ReleaseFile], str]]:
    """Return all answers, and a function that returns the address of a file in a lock file."""
    from bandersnatch.closure.lockfile import read_lock
    from bandersnatch.errors import OptionError
    from bandersnatch.mirror.queries import prove

    prover = prove.Prover(mirror, targets)
    proofs: list[Proof] = []
    for path, text in locks:
        try:
            entries = read_lock(path, text)
        except OptionError as error:
            raise UsageError(str(error)) from error
        proofs += await prover.prove_lock(path, entries)
    if not (locks or questions):
        questions = await prove.whole_selection(mirror)
        if mirror.filters.finite_names is None and not arguments.each:
            raise UsageError(
                "the selection has no end, so that it is not one question; use --each, or name "
                "requirements"
            )
    if questions and not arguments.each:
        labels = [each.label for each in questions]
        label = ", ".join(labels) if len(labels) <= 3 else f"{len(labels)} requirements"  # noqa: PLR2004 - as many as fit a line
        questions = [prove.combine(questions, label)]
    for question in questions:
        proofs += await prover.prove(question)
    return proofs, await _locating(mirror, arguments, proofs)


def proof_lines(proofs: Sequence[Proof]) -> list[str]:
    """Return the answers for people: what is not proved, with the reasons, then the numbers."""
    from bandersnatch.mirror.proofs import ProofResult

    lines = []
    wrong = [each for each in proofs if each.result is not ProofResult.PASSED]
    is_short = len(proofs) <= _SHOWN
    for each in proofs if is_short else wrong[:_SHOWN]:
        pins = each.resolution.pins if each.resolution is not None else {}
        number = f" with {counted(len(pins), 'project')}" if pins else ""
        lines.append(f"{each.result.value}: {each.label} in {each.target.name}{number}")
        lines += [f"  {line}" for line in each.lines[:_SHOWN]]
        if len(each.lines) > _SHOWN:
            lines.append(f"  and {len(each.lines) - _SHOWN:,} more; --json has all")
    if not is_short and len(wrong) > _SHOWN:
        lines.append(f"and {len(wrong) - _SHOWN:,} more that are not proved")
    passed = len(proofs) - len(wrong)
    lines.append(f"{passed:,} of {counted(len(proofs), 'proof')} passed")
    return lines


# ---------------------------------------------------------------- lock files


def _check_lock_flags(arguments: Namespace, session: Session, *, has_only_locks: bool) -> None:
    """Refuse flags that do not go together.

    :raises UsageError: if there are any.
    """
    if not arguments.write_lock:
        if arguments.index:
            raise UsageError("--index is for --write-lock")
        return
    if arguments.each:
        raise UsageError("--write-lock writes one resolution; leave --each out")
    if has_only_locks:
        raise UsageError("--write-lock writes what requirements resolve to; lock files have none")
    if not (arguments.index or session.configuration.settings.pages.root_uri):
        raise UsageError(
            "--write-lock needs the address of the mirror: set root_uri, or give --index URL, or "
            "--index pypi for the addresses of PyPI"
        )


async def _locating(
    mirror: Mirror, arguments: Namespace, proofs: Sequence[Proof]
) -> Callable[[ReleaseFile], str]:
    """Return the function that returns the address of a file.

    :raises UpstreamError: if the index is to say it, and does not answer.
    """
    from bandersnatch.layout import file_url
    from bandersnatch.model.content import Validators

    if arguments.index != "pypi" or not arguments.write_lock:
        root = arguments.index or mirror.settings.pages.root_uri
        return lambda file: file_url(file, root)
    names: set[ProjectName] = set()
    for each in proofs:
        names |= each.resolution.pins.keys() if each.resolution is not None else set()
    urls: dict[str, str] = {}
    for name in sorted(names):
        fetched = await mirror.index.fetch_detail(name, Validators())
        if fetched is not None:
            urls |= {file.filename: file.url for file in fetched.detail.files}
    return lambda file: urls.get(file.filename, file.url)


def _write_lock(
    session: Session, proofs: Sequence[Proof], locate: Callable[[ReleaseFile], str]
) -> None:
    """Write a lock file with what was found, unless a proof failed or was given up.

    :raises StorageError: if the file cannot be written.
    """
    from bandersnatch.closure.lockfile import write_lock
    from bandersnatch.mirror.proofs import ProofResult
    from bandersnatch.storage.output import OutputFile

    found = [each.resolution for each in proofs if each.resolution is not None]
    has_failed = any(each.result is ProofResult.FAILED for each in proofs)
    if not found or has_failed or any(each.gave_up for each in found):
        session.logger.warning(
            "%s is not written: a proof failed or was given up", session.arguments.write_lock
        )
        return
    root = session.configuration.settings.storage.state_directory
    with OutputFile(session.arguments.write_lock, root) as file:
        file.replace(write_lock(found, locate).encode())


async def _remember(session: Session, proofs: Sequence[Proof]) -> None:
    """Store the result for ``status``, unless another command holds the lock."""
    from bandersnatch.cli.log import EventLog
    from bandersnatch.errors import LockConflict
    from bandersnatch.mirror.queries import prove

    found = prove.summarize(proofs, session.clock.now())
    try:
        await session.use_mirror(
            [EventLog(session.logger)],
            lambda mirror: prove.remember(mirror, found),
            dry_run=False,
        )
    except LockConflict as error:
        session.logger.warning("the result is not remembered for status: %s", error)
