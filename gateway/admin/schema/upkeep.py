"""What the gateway's upkeep answers: the check of the books, repricing, and sealing secrets anew."""

from __future__ import annotations

from gateway.admin.schema.record import Record


class BooksFinding(Record):
    """One thing that does not add up: what it is, and both sides of it."""

    what: str = ""
    found: str = ""


class BooksCheck(Record):
    """One claim about the books. `findings` counts all of them, `examples` are the first twenty."""

    name: str = ""
    claim: str = ""
    ok: bool = False
    findings: int = 0
    examples: list[BooksFinding] = []


class Books(Record):
    """Every check in one snapshot of the database. Rows are compared from `since` on: what retention has dropped can't be."""

    ok: bool = False
    at: str = ""
    since: str | None = None
    took_ms: float = 0.0
    checks: list[BooksCheck] = []


class RepricedModel(Record):
    """One provider's model: rows looked at, rows that change, and sums over all rows looked at."""

    provider: str = ""
    model: str = ""
    rows: int = 0
    changed: int = 0
    before_nusd: int = 0
    after_nusd: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0


class Repricing(Record):
    """A dry run (`applied` false, `id` null), or what was done."""

    id: str | None = None
    applied: bool = False
    since: str = ""
    until: str = ""
    rows: int = 0
    changed: int = 0
    before_nusd: int = 0
    after_nusd: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0
    models: list[RepricedModel] = []


class Resealed(Record):
    """What was sealed with an older key and is now under the first one. `unreadable`: none of the keys opens it."""

    credentials: int = 0
    bodies: int = 0
    unreadable: int = 0
