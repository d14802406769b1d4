"""Who may ask what: the bearer admin token's role against the least role of the route that matched. There is no other way in: no
cookie, no query parameter, no CORS, no route without a role."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable

from gateway import keyring
from gateway.admin.desk import Who
from gateway.admin.schema.people import Role
from gateway.errors import Forbidden, InvalidAdminToken, LimitReached
from gateway.store import tokens
from gateway.store.pool import CONNECT_TIMEOUT_S, TROUBLE, Pool

RANK: dict[Role, int] = {"viewer": 0, "operator": 1, "owner": 2}

REVIEW_S = 5.0
"""A stream outlives its token by no more than this."""
GUESSES_A_MINUTE = 30
MOST_ADDRESSES = 10_000


class Guesses:
    """Damps guessing, address by address. Only a well-formed token that does not exist counts: anything else costs no query. A token that
    was right before is never held up, so that an attacker behind the same address locks nobody out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_address: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def require_calm(self, address: str, digest: bytes) -> None:
        """Raises LimitReached with the wait."""
        began, count = self._by_address.get(address, (0.0, 0))
        left = began + 60.0 - self._clock()
        if count >= GUESSES_A_MINUTE and left > 0 and digest not in self._good:
            raise LimitReached(
                f"Too many wrong admin tokens from this address ({GUESSES_A_MINUTE} a minute); it is listened to again in {left:.0f} s.",
                retry_after_s=left,
            )

    def wrong(self, address: str) -> None:
        now = self._clock()
        began, count = self._by_address.pop(address, (now, 0))
        self._by_address[address] = (now, 1) if now - began > 60.0 else (began, count + 1)
        if len(self._by_address) > MOST_ADDRESSES:
            self._by_address.popitem(last=False)

    def right(self, digest: bytes) -> None:
        self._good[digest] = None
        if len(self._good) > MOST_ADDRESSES:
            self._good.popitem(last=False)


async def admit(pool: Pool, guesses: Guesses, authorization: str | None, address: str) -> Who:
    """The token's owner. Raises InvalidAdminToken (one answer for every way to be wrong) or LimitReached."""
    scheme, _, text = (authorization or "").partition(" ")
    token = text.strip().encode("utf-8", "replace")
    if scheme.lower() != "bearer" or not keyring.is_admin_token(token):
        raise InvalidAdminToken()
    digest = keyring.digest(token)
    guesses.require_calm(address, digest)
    async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
        found = await tokens.find(connection, digest)
    if found is None or not hmac.compare_digest(found.digest, digest):
        guesses.wrong(address)
        raise InvalidAdminToken()
    guesses.right(digest)
    role: Role = found.role
    if found.user_id is not None:  # a token never outranks its user, and ends with the user's last membership
        if not found.roles:
            raise InvalidAdminToken()
        role = min(role, max(found.roles, key=RANK.__getitem__), key=RANK.__getitem__)
    return Who(found.id, found.name, role, found.user_id)


async def refused(pool: Pool, authorization: str | None) -> None:
    """Returns once a token that was admitted is so no more: revoked, expired, or its user gone. While the database is away nobody is."""
    guesses = Guesses()
    with contextlib.suppress(InvalidAdminToken):
        while True:
            await asyncio.sleep(REVIEW_S)
            with contextlib.suppress(*TROUBLE):
                await admit(pool, guesses, authorization, "")


def require_role(who: Who, least: Role) -> None:
    """Raises Forbidden."""
    if RANK[who.role] < RANK[least]:
        raise Forbidden(f"This needs the role {least}; the token {who.name!r} is a {who.role}'s.", code="forbidden")
