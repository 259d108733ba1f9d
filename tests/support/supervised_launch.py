"""Starts a program under a seccomp filter that asks a supervisor before some system calls (see supervisor.py).

    python -I -S supervised_launch.py SOCKET ARCHITECTURE NUMBER,NUMBER,… COMMAND…

SOCKET is the descriptor of a Unix socket over which the descriptor that answers goes to the supervisor.
"""

import array
import ctypes
import os
import socket
import struct
import sys

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # opcodes of classic BPF: ld [k], jeq #k, ret #k
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_SECCOMP = {0xC000003E: 317, 0xC00000B7: 277}  # number of seccomp(2) by architecture


def make_filter(architecture: int, numbers: list[int]) -> bytes:
    """Return the BPF program that asks for these system calls and allows all others."""
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), (_JUMP_IF_EQUAL, 0, len(numbers) + 1, architecture), (_LOAD, 0, 0, _NUMBER)]
    for position, number in enumerate(numbers):
        steps.append((_JUMP_IF_EQUAL, len(numbers) - position, 0, number))
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ASK)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def main() -> None:
    """Install the filter, hand over the descriptor, become the command."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    architecture = int(sys.argv[2])
    code = make_filter(architecture, [int(number) for number in sys.argv[3].split(",")])
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    listener = libc.syscall(
        _SECCOMP[architecture], _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_NEW_LISTENER, ctypes.c_char_p(program)
    )
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    channel.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    channel.close()
    os.close(listener)
    os.execvp(sys.argv[4], sys.argv[4:])


main()
