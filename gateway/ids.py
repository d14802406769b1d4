"""Ids of rows: a prefix that says what it is, and 80 random bits."""

from __future__ import annotations

import secrets

from gateway.keyring import ALPHABET


def new(prefix: str) -> str:
    """`new("prj")` is `prj_` and 16 characters."""
    return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(16))
