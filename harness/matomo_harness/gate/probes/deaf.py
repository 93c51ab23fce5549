"""A browser that does not notice when this machine's network changes.

Chromium drops all its connections (net::ERR_NETWORK_CHANGED) whenever an interface gets an address,
and every container that starts beside it adds one: a page that is loading then stays half empty.
Chromium has no switch for that. Without netlink (refused by a seccomp filter, on Linux) it receives
no such event and assumes that it is online (AddressTrackerLinux::AbortAndForceOnline in its
net/base/address_tracker_linux.cc).

The filter is set through ctypes: the bindings of libseccomp are not maintained (pyseccomp's last
release is of 2021), and a browser in a network namespace of its own cannot reach the ports that are
published here.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

_SOCKET_CALL: Final = {"x86_64": 41, "aarch64": 198}
"""The number of the system call socket(2), by architecture."""
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _FIRST_ARGUMENT = 0, 16
"""Offsets in struct seccomp_data."""


def without_netlink(browser: Path) -> Path:
    """Return a program that starts `browser` without netlink, or `browser` where that cannot be."""
    if sys.platform != "linux" or platform.machine() not in _SOCKET_CALL:
        return browser
    directory = _own_directory()
    program = directory / "browser"
    text = f'#!/bin/sh\nexec "{sys.executable}" -m {__name__} "{browser}" "$@"\n'
    # Linux starts no program that somebody is writing (ETXTBSY), and others start this one.
    new = directory / f"browser.{threading.get_native_id()}"
    new.write_text(text)
    new.chmod(0o700)
    new.replace(program)
    return program


def _own_directory() -> Path:
    """Return a directory of this user's alone, the same for all processes: nothing accumulates.

    Raises:
        PermissionError: the directory belongs to another user.
    """
    directory = Path(tempfile.gettempdir()) / f"matomo-harness-browser-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "somebody else's", str(directory))
    return directory


def _refuse_netlink() -> None:
    """Make socket(AF_NETLINK) fail in this process and in all that it starts."""
    call = _SOCKET_CALL[platform.machine()]
    instructions = (
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 0, 3, call),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 0, 1, socket.AF_NETLINK),
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    )
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    code = ctypes.create_string_buffer(packed)
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
