"""Ids of rows: a prefix that says what it is, and 80 random bits."""

from __future__ import annotations

import re
import secrets

from gateway.keyring import ALPHABET

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def new(prefix: str) -> str:
    """`new("prj")` is `prj_` and 16 characters."""
    return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(16))


def kept_request_id(given: str | None) -> str | None:
    """The caller's own x-request-id, or None when it is not 1 to 128 of `[A-Za-z0-9._-]`."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


def of_request(given: str | None) -> str:
    """The caller's own x-request-id where it is well-formed, else a new one."""
    return kept_request_id(given) or new("req")
