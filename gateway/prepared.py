"""What the parent and the preparation of its database say to each other; apart from `prepare`, whose imports the parent shall not carry."""

from __future__ import annotations

from typing import Literal

import msgspec

Mode = Literal["demo", "up", "serve"]
"""`demo` and `up` bring what is missing, `serve` expects it."""


class Prepared(msgspec.Struct):
    """`problem` is what keeps the gateway from starting; `notes` are lines for the user. `project_key` is shown once."""

    problem: str | None = None
    notes: list[str] = []
    project_key: str | None = None
