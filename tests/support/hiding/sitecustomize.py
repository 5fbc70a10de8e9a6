"""Hides from the program what some systems lack, so that it runs as if it were on one of them.

``tox -e bare`` sets ``HIDE_SYSTEM``. Then ``tests/conftest.py`` installs this in the process of
the tests, and puts this directory into ``PYTHONPATH``, so that each Python process that a test
starts installs it as well. Only modules of ``bandersnatch`` see the difference: their ``import``
statements return modules without the names, whose functions refuse what those of such systems do.
Libraries and tests see the whole system.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import importlib
import os
import stat
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

VARIABLE = "HIDE_SYSTEM"
"""The environment variable that switches this on."""

_PACKAGE = "bandersnatch"

_NO_MODULES = frozenset({"fcntl", "grp", "pwd", "resource", "termios", "uvloop"})

_FLAGS = ("NOFOLLOW", "DIRECTORY", "NONBLOCK", "CLOEXEC", "PATH", "NOCTTY", "TMPFILE", "SYNC")

_HIDDEN: Mapping[str, frozenset[str]] = {
    "os": frozenset({f"O_{name}" for name in _FLAGS})
    | {"sync", "fdatasync", "statvfs", "fstatvfs", "fchmod", "chown", "lchown", "fchown", "mkfifo"}
    | {"geteuid", "getuid", "getegid", "getgid", "fork", "killpg", "setsid", "posix_fadvise"}
    | {"copy_file_range", "sendfile", "getxattr", "setxattr", "sched_getaffinity"},
    "signal": frozenset({"SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGPIPE"})
    | {"SIGKILL", "SIGSTOP", "SIGCONT", "SIGCHLD", "setitimer", "siginterrupt", "pthread_sigmask"},
    "ctypes": frozenset(),
}

_WITH_DIRECTORIES = (
    *("open", "stat", "lstat", "mkdir", "rmdir", "unlink", "remove", "rename", "replace"),
    *("readlink", "symlink", "link", "utime", "access", "scandir"),
)
"""Functions of ``os`` that may take the descriptor of a directory."""


def _refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _is_hidden_path(path: object) -> bool:
    return isinstance(path, str | os.PathLike) and os.fspath(path).startswith("/proc/")


def _restricted(name: str) -> Callable[..., Any]:
    """Return a function of ``os`` that knows neither directory descriptors nor ``/proc``."""
    original = getattr(os, name)
    takes_descriptors = name in {"stat", "open"}

    def call(path: Any, *arguments: Any, **options: Any) -> Any:
        if {"dir_fd", "src_dir_fd", "dst_dir_fd"} & options.keys():
            raise NotImplementedError("dir_fd unavailable on this platform")
        if isinstance(path, int) and not takes_descriptors:
            raise TypeError(f"{name}: path should be string, bytes or os.PathLike, not int")
        if _is_hidden_path(path):
            raise _refused(errno.ENOENT)
        return original(path, *arguments, **options)

    return call


def _open(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
    """Open a file, but not a directory."""
    descriptor: int = _restricted("open")(path, flags, mode, **options)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refused(errno.EACCES)
    return descriptor


def _symlink(*_: object, **__: object) -> None:
    """Refuse links, as Windows does for users without the privilege."""
    error = _refused(errno.EINVAL)
    error.winerror = 1314  # type: ignore[attr-defined,unused-ignore] # only Windows declares it
    raise error


def _fsync(file: Any) -> None:
    """Flush a file that is open for writing."""
    descriptor = file if isinstance(file, int) else file.fileno()
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise _refused(errno.EBADF)
    os.fsync(descriptor)


def _library(name: str | None, *arguments: Any, **options: Any) -> Any:
    if name is None:
        raise TypeError("expected str, not None")
    return importlib.import_module("ctypes").CDLL(name, *arguments, **options)


def _open_text(path: Any, *arguments: Any, **options: Any) -> Any:
    """Open a file for ``open``, but none of ``/proc``."""
    if _is_hidden_path(path):
        raise _refused(errno.ENOENT)
    return open(path, *arguments, **options)  # noqa: PTH123 - for the caller


_REPLACED: Mapping[str, Mapping[str, object]] = {
    "os": {
        **{name: _restricted(name) for name in _WITH_DIRECTORIES},
        "open": _open,
        "symlink": _symlink,
        "fsync": _fsync,
        "supports_dir_fd": frozenset(),
        "supports_fd": frozenset(),
        "supports_follow_symlinks": frozenset({os.stat}),
    },
    "signal": {},
    "ctypes": {"CDLL": _library},
}


class _Module(ModuleType):
    """A module of the standard library without some names, and with others replaced."""

    def __init__(self, original: ModuleType) -> None:
        super().__init__(original.__name__)
        self.__dict__.update(_REPLACED[original.__name__])
        self.__dict__["_original"] = original

    def __getattr__(self, name: str) -> Any:
        if name in _HIDDEN[self.__name__]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self.__dict__["_original"], name)


_MODULES = {name: _Module(importlib.import_module(name)) for name in _HIDDEN}


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,  # noqa: A002 - the name of the original
    locals: Mapping[str, object] | None = None,  # noqa: A002 - as above
    fromlist: Sequence[str] = (),
    level: int = 0,
) -> ModuleType:
    top = name.partition(".")[0]
    if level == 0 and top in _NO_MODULES:
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)
    module = builtins.__import__(name, globals, locals, fromlist, level)
    return _MODULES.get(module.__name__, module)


class _Loader(SourceFileLoader):
    """Executes a module with another ``import`` statement and another ``open``."""

    def exec_module(self, module: ModuleType) -> None:
        changed = {"__import__": _import, "open": _open_text}
        module.__dict__["__builtins__"] = {**builtins.__dict__, **changed}
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != _PACKAGE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


def install() -> None:
    """Hide the names from all modules of the program that are imported from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def is_on() -> bool:
    """Whether the environment asks for it."""
    return bool(os.environ.get(VARIABLE))


if is_on():
    install()
