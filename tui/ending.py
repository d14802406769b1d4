"""How a command line ends: what it printed is out, or its exit status says that it is not.

The interpreter flushes stdout last of all, when nothing of ours is left to speak: a full disk would be a traceback and the status 120.
Imports nothing that Python has not loaded already: `optyx --version` and the dashboard's first frame pass here.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False  # `typing` alone takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

FAILED, PIPE_CLOSED = 1, 141
"""As in `tui/faults.py`, which is more than these."""
OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def ended(body: Callable[[], int], program: str) -> int:
    """Runs the whole of a program; its exit status. stdout has taken everything when that is `body`'s own."""
    _open_what_is_closed()
    try:
        status = body()
        sys.stdout.flush()
    except BrokenPipeError:
        status = PIPE_CLOSED
    except OSError as error:
        status = FAILED
        tell(f"{program}: error: {named(error)}")
    finally:
        discard(sys.stdout)
        discard(sys.stderr)
    return status


def named(error: OSError) -> str:
    """What could not be read or written, and why, in one line. A write that fails names no file."""
    reason = error.strerror or str(error)
    if error.filename:
        return f"{error.filename}: {reason}"
    return f"the result could not be written: {reason}" if error.errno in OF_WRITING else reason


def discard(stream: TextIO) -> None:
    """Throws away what the stream still holds and can't take, so that no later flush fails on it."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def tell(line: str) -> None:
    """On stderr; when nobody can hear it, the exit status alone must say it."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def _open_what_is_closed() -> None:
    """`>&-`: to Python such a stream is None. A stdout that refuses what is written loses no result unseen; stderr is talk."""
    if sys.stdin is None:
        sys.stdin = _nowhere(os.O_RDONLY, "r")
    if sys.stdout is None:
        sys.stdout = _nowhere(os.O_RDONLY, "w")
    if sys.stderr is None:
        sys.stderr = _nowhere(os.O_WRONLY, "w")


def _nowhere(how: int, mode: str) -> TextIO:
    opened: TextIO = os.fdopen(os.open(os.devnull, how), mode, encoding="utf-8")  # type: ignore[assignment]  # a mode of text
    return opened
