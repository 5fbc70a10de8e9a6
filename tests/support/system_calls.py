"""Intercepts the system calls of a process that change files; a test decides on each.

Before each call the kernel notifies this process (seccomp user notification, Linux 5.5) and waits:
the call is made, or fails with an error, or the process is killed. Nothing needs to be installed,
and calls are counted over all threads.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import random
import select
import signal
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CURRENT_DIRECTORY = -100
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE = struct.Struct("QIIiIQ6Q")
_ANSWER = struct.Struct("QqiI")
_GO_ON = 1
_LONGEST_PATH = 4096

KILL = -1
"""The decision to kill the process before a call."""


@dataclass(frozen=True)
class _Kind:
    """A system call: its number, and which of its arguments name files.

    ``paths`` are the indexes of paths, each with that of its directory's descriptor or None;
    ``descriptor`` is the index of an open file, ``flags`` of the flags of ``open``, and ``size``
    of the number of bytes.
    """

    name: str
    number: int
    paths: tuple[tuple[int | None, int], ...] = ()
    descriptor: int | None = None
    flags: int | None = None
    size: int | None = None


_KINDS = (
    _Kind("open", 2, ((None, 0),), flags=1),
    _Kind("open", 257, ((0, 1),), flags=2),
    _Kind("open", 85, ((None, 0),)),
    _Kind("write", 1, descriptor=0, size=2),
    _Kind("write", 18, descriptor=0, size=2),
    _Kind("write", 20, descriptor=0),
    _Kind("write", 296, descriptor=0),
    _Kind("write", 328, descriptor=0),
    _Kind("write", 40, descriptor=0, size=3),
    _Kind("write", 326, descriptor=2, size=4),
    _Kind("truncate", 76, ((None, 0),)),
    _Kind("truncate", 77, descriptor=0),
    _Kind("allocate", 285, descriptor=0),
    _Kind("fsync", 74, descriptor=0),
    _Kind("fsync", 75, descriptor=0),
    _Kind("syncfs", 306, descriptor=0),
    _Kind("rename", 82, ((None, 0), (None, 1))),
    _Kind("rename", 264, ((0, 1), (2, 3))),
    _Kind("rename", 316, ((0, 1), (2, 3))),
    _Kind("mkdir", 83, ((None, 0),)),
    _Kind("mkdir", 258, ((0, 1),)),
    _Kind("unlink", 87, ((None, 0),)),
    _Kind("unlink", 263, ((0, 1),)),
    _Kind("rmdir", 84, ((None, 0),)),
    _Kind("link", 86, ((None, 0), (None, 1))),
    _Kind("link", 265, ((0, 1), (2, 3))),
    _Kind("symlink", 88, ((None, 1),)),
    _Kind("symlink", 266, ((1, 2),)),
    _Kind("chmod", 90, ((None, 0),)),
    _Kind("chmod", 91, descriptor=0),
    _Kind("chmod", 268, ((0, 1),)),
    _Kind("utime", 280, ((0, 1),), descriptor=0),
)
_READING = (
    _Kind("stat", 4, ((None, 0),)),
    _Kind("stat", 6, ((None, 0),)),
    _Kind("stat", 262, ((0, 1),)),
    _Kind("stat", 332, ((0, 1),)),
    _Kind("read", 0, descriptor=0),
    _Kind("read", 17, descriptor=0),
    _Kind("list", 217, descriptor=0),
)
"""Calls that change nothing; opening a file for reading is "open" as well."""

_BY_NUMBER = {kind.number: kind for kind in (*_KINDS, *_READING)}


@dataclass(frozen=True)
class Call:
    """A call on a file below the root; ``number`` counts from 1, paths are relative to the root.

    ``size`` is the number of bytes to write, 0 if it is not an argument of the call.
    """

    number: int
    name: str
    paths: tuple[str, ...]
    size: int = 0

    def __str__(self) -> str:
        return f"{self.number} {self.name} {' '.join(self.paths)}"


@dataclass
class Watched:
    """The result of a process: exit status, output, and calls in order."""

    code: int = 0
    log: str = ""
    calls: list[Call] = field(default_factory=list)

    @property
    def killed(self) -> bool:
        """Whether the process was killed before it ended."""
        return self.code == -signal.SIGKILL


def watch(
    command: Sequence[str],
    root: Path,
    decide: Callable[[Call], int | None] = lambda _: None,
    *,
    reading: bool = False,
) -> Watched:
    """Run a program and let ``decide`` decide on each call that may change the root.

    It returns None to permit the call, the number of an error to make it fail, or ``KILL``.
    ``reading`` includes calls that read. Skips the test where the kernel refuses this.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("the system calls are those of Linux on x86-64")
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        output = stack.enter_context(TemporaryFile())
        process = _start(command, theirs, output.fileno(), reading=reading)
        stack.callback(process.wait)
        stack.callback(process.kill)
        said, descriptors, _, _ = socket.recv_fds(ours, 100, 1)
        if not descriptors:
            assert said, "the launcher ended before it installed the filter"
            pytest.skip(f"the kernel refuses the filter: {said.decode()}")
        stack.callback(os.close, descriptors[0])
        watched = Watched()
        for call, answer in _asked(descriptors[0], process, root):
            watched.calls.append(call)
            decided = decide(call)
            if decided == KILL:
                process.kill()
                break
            answer(decided or 0)
        watched.code = process.wait()
        output.seek(0)
        watched.log = output.read().decode()
    return watched


def _start(
    command: Sequence[str], channel: socket.socket, output: int, *, reading: bool
) -> subprocess.Popen[bytes]:
    launch = Path(__file__).with_name("launch.py")
    asked = (*_KINDS, *_READING) if reading else _KINDS
    plain = [str(kind.number) for kind in asked if reading or kind.flags is None]
    opening = [f"{k.number}:{k.flags}" for k in asked if k.flags is not None and not reading]
    with channel:
        return subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(launch), str(channel.fileno())),
                *(",".join(plain), ",".join(opening), *command),
            ],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[channel.fileno()],
            start_new_session=True,
        )


def _environment() -> dict[str, str]:
    """Return the environment without coverage, to which a killed process reports nothing."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    return {**ours, "PYTHONDONTWRITEBYTECODE": "1"}


def _asked(
    listener: int, process: subprocess.Popen[bytes], root: Path
) -> Iterator[tuple[Call, Callable[[int], None]]]:
    """Yield the calls on the root, each with a function that takes the answer."""
    ended = os.pidfd_open(process.pid)
    inside, count = f"{root}/", 0
    try:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while listener in dict(events := poll.poll()) and (ended not in dict(events)):
            notice = bytearray(_NOTICE.size)
            try:
                fcntl.ioctl(listener, _RECEIVE, notice)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.EINTR}:
                    continue
                raise
            asked, task, _, number, _, _, *arguments = _NOTICE.unpack(notice)

            def answer(error: int, asked: int = asked) -> None:
                with suppress(FileNotFoundError):  # the process was killed
                    flags = 0 if error else _GO_ON
                    fcntl.ioctl(listener, _SEND, _ANSWER.pack(asked, 0, -error, flags))

            kind = _BY_NUMBER[number]
            paths = [
                path for path in _paths(kind, task, arguments) if f"{path}/".startswith(inside)
            ]
            if not paths:
                answer(0)
                continue
            count += 1
            size = 0 if kind.size is None else arguments[kind.size]
            within = tuple(path[len(inside) :] for path in paths)
            yield Call(count, kind.name, within, size), answer
    finally:
        os.close(ended)


def _paths(kind: _Kind, task: int, arguments: Sequence[int]) -> Iterator[str]:
    """Yield the paths of the files that a call uses."""
    for directory, place in kind.paths:
        if not arguments[place]:
            continue  # a null pointer means the directory itself
        path = _text(task, arguments[place])
        at = _CURRENT_DIRECTORY if directory is None else _signed(arguments[directory])
        yield os.path.normpath(os.path.join(_opened(task, at), path))  # noqa: PTH118 - not ours
    if kind.descriptor is not None and not (kind.paths and arguments[kind.paths[0][1]]):
        yield _opened(task, _signed(arguments[kind.descriptor]))


def _signed(argument: int) -> int:
    """Return an argument as a signed integer of 32 bits."""
    low: int = ctypes.c_int32(argument & 0xFFFFFFFF).value
    return low


def _text(task: int, address: int) -> str:
    with Path(f"/proc/{task}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return os.fsdecode(memory.read(_LONGEST_PATH).partition(b"\0")[0])


def _opened(task: int, descriptor: int) -> str:
    name = "cwd" if descriptor == _CURRENT_DIRECTORY else f"fd/{descriptor}"
    try:
        return str(Path(f"/proc/{task}/{name}").readlink())
    except OSError:
        return ""  # not open: the call will fail


# ---------------------------------------------------------------- selection and messages


def spread(calls: Sequence[Call], count: int, seed: int = 20261121) -> list[Call]:
    """Return one call of each of ``count`` parts of the calls, the same ones for a seed."""
    dice = random.Random(seed)
    edges = [len(calls) * part // count for part in range(count + 1)]
    return [dice.choice(calls[low:high]) for low, high in pairwise(edges)]


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Add a note to a failing assertion."""
    try:
        yield
    except AssertionError as error:
        error.add_note(note)
        raise
