"""How many sockets and files a process may have open. A shell's usual 1,024 (256 on macOS) is two for each of 500 streams."""

from __future__ import annotations

import contextlib
import resource

WANTED = (65_536, 10_240)
"""What is tried: macOS refuses more than its own 10,240."""


def raise_limit() -> int:
    """Raises the soft limit as far as the hard one allows; what holds from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in WANTED:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= most:
            break
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return soft
