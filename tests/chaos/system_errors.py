"""Any error of the system at any call: at audit events in this process, or by strace in another.

A seed chooses the command, the call, the number of the call, and the error. The oracle judges the
run, and the mirror must heal afterwards (``docs/development/oracle.md``).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos.oracle import Granted
from tests.support.interception import intercepted
from tests.support.site import Ran, Site
from tests.support.tracing import TracedProgram

if TYPE_CHECKING:
    from tests.chaos.case import Case
    from tests.chaos.oracle import Complaint

ERRORS = sorted(errno.errorcode.keys() - {errno.EINTR})
"""All errors of this system; Python repeats calls that a signal interrupts."""

CALLS = 400
"""Calls of a run, at most; with a higher number nothing fails."""

COMMANDS = (
    *(("mirror",), ("mirror", "--force-check"), ("verify",), ("verify", "--quick")),
    *(("sync", "alpha", "delta"), ("delete", "--until-next-change", "gamma"), ("restore", "gone")),
)
"""Those that write; ``mirror`` is chosen as often as all others together."""

NAMES = ("alpha", "beta-x", "delta", "gamma", "gone", "lost")

NO_REPORT = {2, 6, 7}
"""Exit statuses with which a run may end before it can write a report."""


def prepare(case: Case) -> None:
    """Mirror some projects, and change the index: more files, fewer files, fewer projects."""
    for name in ("alpha", "Beta.x", "gamma", "gone", "lost"):
        case.index.release(name, "1.0", sdist=True)
    case.mirror()
    case.clock.advance(hours=1)
    case.index.remove_project("gone")
    case.mirror()
    case.clock.advance(hours=1)
    case.index.release("alpha", "2.0")
    case.index.release("delta", "1.0")
    case.index.remove_file("Beta.x", "beta_x-1.0.tar.gz")
    case.index.remove_project("lost")
    case.server.forget()


@dataclass
class SystemErrors:
    """The errors of one seed, in this process."""

    case: Case
    seed: int
    count: int = 0
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Choose what fails."""
        dice = random.Random(self.seed)
        others = dice.choice(COMMANDS[1:])
        self.command = dice.choice((COMMANDS[0], others))
        self.number = int(CALLS ** dice.random())
        self.error = dice.choice(ERRORS)
        self.mode = dice.choice(("once", "once", "from then on", "often"))
        self._dice = dice

    def __str__(self) -> str:
        error = errno.errorcode[self.error]
        what = f"{self.command}, call {self.number} {self.mode}: {error}"
        return f"seed {self.seed}: {what} {self.failed[:3]}"

    def play(self) -> None:
        """Run the command with the errors, judge it, and let the mirror heal."""
        case = self.case
        prepare(case)
        before = case.snapshot()
        with intercepted(self._fail):
            ran = case.site.run(*self.command)
        assert_allowed(ran, str(self))
        after = case.snapshot()
        if ran.report:
            is_whole = self.command[0] == "mirror"
            granted = Granted(behind=frozenset(() if is_whole else NAMES), removals=10)
            wrong = case.oracle.judge(before, after, ran, granted)
            wrong = [each for each in wrong if not self._is_excused(each, ran)]
            assert not wrong, "\n".join([str(self), *map(str, wrong), ran.log])
        else:
            is_told = "the report could not be written" in ran.log
            assert is_told or ran.code in NO_REPORT, f"{self}\n{ran.log}"
        heal(case, str(self))

    def _fail(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_release = event == "fcntl.flock" and arguments[1] == fcntl.LOCK_UN
        if is_release or not self._is_inside(event, arguments):
            return  # the lock of a process that does not end would stay
        self.count += 1
        is_then = self.count == self.number
        if self.mode == "from then on":
            is_then = self.count >= self.number
        elif self.mode == "often":
            is_then = self._dice.random() < 1 / self.number
        if is_then:
            self.failed.append(f"{self.count} {event}{arguments[:2]}")
            raise OSError(self.error, os.strerror(self.error))

    def _is_inside(self, event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether a call concerns the mirror or the network: names in a directory are relative."""
        if event.startswith("socket.") or not isinstance(arguments[0], str | bytes | os.PathLike):
            return True
        path = Path(os.fsdecode(arguments[0]))
        return not path.is_absolute() or path.is_relative_to(self.case.site.root)

    def _is_excused(self, complaint: Complaint, ran: Ran) -> bool:
        """Whether a violation follows from the error: something may be left, or be half done."""
        could_not_remove = any("os.remove" in each or "os.rmdir" in each for each in self.failed)
        if complaint.rule == "K6":
            return could_not_remove and ran.code != 0
        is_between = "the formats of" in complaint.text or complaint.rule == "I4"
        return is_between and ran.code in {3, 4, 7}


def assert_allowed(ran: Ran, about: str) -> None:
    """Assert that a run did not end by a bug."""
    assert "Traceback" not in ran.log + ran.out, f"{about}\n{ran.log}"
    assert ran.code in {0, 2, 3, 4, 5, 6, 7, 8}, f"{about}\nstatus {ran.code}\n{ran.log}"


def heal(case: Case, about: str) -> None:
    """Assert that two runs give the tree of a clean mirror, without errors.

    A deleted project comes back with its next change, and a restored one leaves again.
    """
    case.about = about
    case.clock.advance(hours=1)
    ran = case.site.mirror()
    assert ran.code == 0, f"{about}\n{ran.log}"
    case.index.release("gamma", "3.0")
    try:
        case.heals(hours=1)
    except AssertionError as error:
        error.add_note(about)
        raise


# ---------------------------------------------------------------- strace

FILE_CALLS = (
    *("openat", "openat2", "read", "pread64", "write", "pwrite64", "fsync", "fdatasync", "syncfs"),
    *("rename", "renameat", "renameat2", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir"),
    *(
        "symlinkat",
        "fchmod",
        "chmod",
        "utimensat",
        "newfstatat",
        "fstat",
        "lstat",
        "lseek",
        "statx",
    ),
    *("ftruncate", "flock", "fcntl", "getdents64", "statfs", "fstatfs", "readlink", "readlinkat"),
    *("access", "fallocate", "copy_file_range", "getcwd", "dup"),
)
NETWORK_CALLS = (
    *("socket", "connect", "sendto", "recvfrom", "sendmsg", "recvmsg", "setsockopt", "getsockopt"),
    *("getsockname", "getpeername", "bind", "shutdown"),
)
ESSENTIAL_CALLS = (
    *("mmap", "munmap", "mprotect", "brk", "clone3", "futex", "epoll_wait", "epoll_ctl"),
    *(
        "epoll_create1",
        "eventfd2",
        "pipe2",
        "socketpair",
        "ioctl",
        "close",
        "clock_nanosleep",
        "getrandom",
    ),
)
"""Calls without which neither Python nor the event loop can go on: the process may end in any way,
as if it were killed. Without memory for a new thread, Python waits for that thread for ever."""

_MODULE = re.compile(r"\.(py|pyc|so)\b")
"""In a call that concerns a module: without it the process may end in any way, too."""

_LOOP = re.compile(
    r'\b(write\(\d+, "\\1(\\0){7}", 8\)|read\(\d+, 0x\w+, 1024\)|fcntl\(\d+, F_GETFL\))'
)
"""A call of the event loop that concerns the descriptors by which it is woken.

libuv aborts the process if one of them fails, and uvloop does not close then.
"""


def _may_end_process(call: str) -> bool:
    """Whether a failed call may end the process in any way, as if it were killed."""
    return bool(_MODULE.search(call) or _LOOP.search(call))


TRACED_CALLS = 300
"""Calls of one kind on one thread, at most."""

TRACED_ERRORS = sorted(set(errno.errorcode.values()) - {"EDEADLOCK", "EWOULDBLOCK", "ENOTSUP"})
"""The names of all errors; three are second names, which strace does not know."""

_PROGRAM = TracedProgram()
"""All traced processes of a test process have one parent: to import the program takes longer."""


@dataclass
class TracedErrors:
    """The errors of one seed, in a process of its own."""

    case: Case
    seed: int

    def __post_init__(self) -> None:
        """Choose what fails."""
        dice = random.Random(self.seed)
        kind = dice.choice((FILE_CALLS, FILE_CALLS, NETWORK_CALLS, ESSENTIAL_CALLS))
        self.call, self.error = dice.choice(kind), dice.choice(TRACED_ERRORS)
        self.is_essential = kind is ESSENTIAL_CALLS
        number = int(TRACED_CALLS ** dice.random())
        self.when = dice.choice((f"{number}", f"{number}", f"{number}+", f"{number}+7"))
        self.command = dice.choice((COMMANDS[0], dice.choice(COMMANDS[1:])))

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.command}, {self.call}:{self.error}:{self.when}"

    def play(self) -> None:
        """Run the command with the errors, judge it, and let the mirror heal."""
        case, site = self.case, self.case.site
        prepare(case)
        if not _PROGRAM.is_warm:
            _PROGRAM.warm_up(self._other_mirror().config)
        before = case.snapshot()
        report = site.home / "report.json"
        name, *rest = self.command
        home = site.home.parent / "traced"
        home.mkdir()
        traced = _PROGRAM.run(
            ["-c", str(site.config), name, "--report", str(report), *rest],
            home,
            inject=f"{self.call}:error={self.error}:when={self.when}",
            passed=case.clock.passed,
            may_hang=self.is_essential,
        )
        told = json.loads(report.read_text()) if report.exists() else {}
        ran = Ran(traced.code, "", traced.log, told)
        about = "\n".join([str(self), *traced.injected[:5]])
        if not (self.is_essential or any(map(_may_end_process, traced.injected))):
            assert_allowed(ran, about)
        after = case.snapshot()
        wrong = [*case.oracle.losses(before, after, Granted())]
        wrong += case.oracle.surroundings(before, after)
        wrong += case.oracle.pages(after, at_rest=False)
        assert not wrong, "\n".join([about, *map(str, wrong), traced.log])
        heal(case, about)

    def _other_mirror(self) -> Site:
        """Return a mirror on which the program runs before it is traced."""
        home = self.case.site.home.parent / "warm"
        home.mkdir()
        return Site(home, self.case.server)
