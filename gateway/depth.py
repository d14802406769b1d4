"""How deep JSON may be nested. The decoder's own bound is the interpreter's: a thousand in Python 3.11, ten thousand in 3.13. Pure."""

from __future__ import annotations

import re
from itertools import accumulate

MAX_DEPTH = 500

_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_OTHER = bytes(set(range(256)) - set(b"{}[]"))
_STEP = {0x7B: 1, 0x5B: 1, 0x7D: -1, 0x5D: -1}


def is_too_deep(data: bytes) -> bool:
    """Is this valid JSON nested deeper than MAX_DEPTH? Two counts for nearly every body; only one with many brackets is looked at closer,
    and then brackets in its texts don't count. (Of what is not valid, the end of a text could take very long to find.)"""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return False
    brackets = _TEXT.sub(b"", data).translate(None, _OTHER)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH
