"""Execute a program whose system calls that change files wait for an answer.

``system_calls`` runs it as ``python launch.py <socket> <numbers> <opening> <program> ...`` on
Linux: it installs a seccomp filter for the system calls with these numbers, sends the descriptor
of the notifications through the socket, and executes the program. ``opening`` has calls that are
filtered only if they open a file for writing, each with the index of its flags: ``2:1,257:2``.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

_SET_NO_NEW_PRIVILEGES = 38
_SECCOMP = 317
_SET_FILTER, _WITH_LISTENER = 1, 1 << 3
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ASK, _ALLOW = 0x7FC00000, 0x7FFF0000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X86_64 = 0xC000003E
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
"""The flags of ``open`` that may change a file."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


def _filter(numbers: list[int], opening: list[tuple[int, int]]) -> bytes:
    """Return a BPF program that notifies of these calls, and of opening files for writing."""
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, _X86_64, yes=1),
        _step(_RETURN, _ALLOW),
        _step(_LOAD, _NUMBER),
    ]
    for number in numbers:
        steps += [_step(_EQUAL, number, no=1), _step(_RETURN, _ASK)]
    for number, place in opening:
        steps += [
            _step(_EQUAL, number, no=4),
            _step(_LOAD, _ARGUMENTS + 8 * place),
            _step(_ANY_BIT, WRITING, no=1),
            _step(_RETURN, _ASK),
            _step(_RETURN, _ALLOW),
        ]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _listen(code: bytes) -> int:
    """Install the filter and return the descriptor of the notifications."""
    system = ctypes.CDLL(None, use_errno=True)
    if system.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    program = _Program(len(code) // 8, code)
    listener: int = system.syscall(_SECCOMP, _SET_FILTER, _WITH_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def main() -> None:
    """Execute the program, or send the reason why the kernel refuses the filter."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    pairs = [each.partition(":") for each in sys.argv[3].split(",") if each]
    opening = [(int(number), int(place)) for number, _, place in pairs]
    code = _filter([int(number) for number in sys.argv[2].split(",")], opening)
    try:
        listener = _listen(code)
    except OSError as error:
        channel.send(f"{error.strerror}: {os.strerror(error.errno or 0)}".encode())
        return
    socket.send_fds(channel, [b"!"], [listener])
    os.close(listener)
    channel.close()
    os.execv(sys.argv[4], sys.argv[4:])


if __name__ == "__main__":
    main()
