"""A browser that does not hear of this machine's network changing.

Chromium drops all its connections (net::ERR_NETWORK_CHANGED) whenever an interface gets an address,
and every container that starts beside it brings one: a page that is loading then stays as it is,
half empty. No switch of Chromium's turns that off; without netlink (a seccomp filter, Linux) it
hears of nothing and takes itself for online (AddressTrackerLinux::AbortAndForceOnline in its
net/base/address_tracker_linux.cc).

By ctypes: the bindings of libseccomp are not kept (pyseccomp's last release is of 2021), and in a
network namespace of its own a browser has no way to the ports that are published here.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
import tempfile
from pathlib import Path
from typing import Final

_SOCKET_CALL: Final = {"x86_64": 41, "aarch64": 198}
"""Number of socket(2), by architecture."""
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _FIRST_ARGUMENT = 0, 16
"""Offsets in struct seccomp_data."""


def deaf(browser: Path) -> Path:
    """Return a program that starts `browser` so; `browser` itself where that cannot be done."""
    if sys.platform != "linux" or platform.machine() not in _SOCKET_CALL:
        return browser
    program = _own_directory() / "browser"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {__name__} "{browser}" "$@"\n')
    program.chmod(0o700)
    return program


def _own_directory() -> Path:
    """Return a directory of this user's alone, the same for all processes: nothing accumulates.

    Raises:
        PermissionError: it is somebody else's.
    """
    directory = Path(tempfile.gettempdir()) / f"matomo-harness-browser-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "somebody else's", str(directory))
    return directory


def _refuse_netlink() -> None:
    """Have socket(AF_NETLINK) fail, in this process and all that it starts."""
    call = _SOCKET_CALL[platform.machine()]
    instructions = (
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 0, 3, call),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 0, 1, socket.AF_NETLINK),
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *it) for it in instructions))
    program = struct.pack("HL", len(instructions), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for option in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0),
    ):
        if libc.prctl(*option) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    _refuse_netlink()
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606
