"""Do the books add up? The whole check, as `optyx audit` asks for it."""

from __future__ import annotations

import asyncio
import time

from gateway.admin import audit
from gateway.admin.desk import Ask, Nothing
from gateway.admin.schema.upkeep import Books, BooksCheck, BooksFinding
from gateway.errors import Conflict
from gateway.instants import iso
from gateway.store import books as store

CONNECT_TIMEOUT_S = 5.0
CHAIN_CLAIM = "Every entry of the audit follows from the one before it."

_one_at_a_time = asyncio.Lock()


async def check(ask: Ask[Nothing, Nothing]) -> Books:
    """Reads every row that is kept: seconds on millions. One at a time a worker."""
    if _one_at_a_time.locked():
        raise Conflict("The books are being checked already; try again when that is done.")
    began = time.monotonic()
    async with (
        _one_at_a_time,
        ask.desk.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection,
        store.snapshot(connection) as seen,
    ):
        checks = [_told(one) for one in await store.run(connection, seen)]
        _, _, broken_at = await audit.verify(connection)
    findings = [] if broken_at is None else [BooksFinding(what=broken_at, found="its hash does not fit")]
    checks.append(
        BooksCheck(name="audit_chain", claim=CHAIN_CLAIM, ok=not findings, findings=len(findings), examples=findings)
    )
    return Books(
        ok=all(one.ok for one in checks),
        at=iso(seen.at) or "",
        since=None if seen.since == store.LONG_AGO else iso(seen.since),
        took_ms=round((time.monotonic() - began) * 1000, 1),
        checks=checks,
    )


def _told(one: store.Checked) -> BooksCheck:
    examples = [BooksFinding(what=finding.what, found=finding.found) for finding in one.examples]
    return BooksCheck(name=one.name, claim=one.claim, ok=not one.findings, findings=one.findings, examples=examples)
