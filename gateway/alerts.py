"""Soft budgets: a log line, the attention list and a signed webhook when a budget with a soft threshold passes it, and again when it is used
up: once a window over all workers. Looks at the database beside the calls; nothing here is on their path.

The webhook gets a JSON POST. With OPTYX_ALERT_SECRET it carries `x-optyx-signature: t=<epoch seconds>,v1=<hex>`, where v1 is the
HMAC-SHA256 of `<t>.<body>`. Anything but a 2xx is tried again, five times in an hour and a half; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Callable

import aiohttp
import msgspec

from gateway.ledger import usd
from gateway.metrics import Metrics
from gateway.secret import Secret
from gateway.store import alerts as store
from gateway.store.pool import UNREACHABLE, Pool

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
PAUSES_S = [10.0, 60.0, 300.0, 1_200.0, 3_600.0]
ANSWER_S = 5.0


class Alerts:
    """`webhook` gives the URL that is set now, or None."""

    def __init__(self, webhook: Callable[[], str | None], secret: Secret | None, metrics: Metrics) -> None:
        self._webhook = webhook
        self._secret = secret
        self._metrics = metrics

    async def run(self, pool: Pool) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(
                *UNREACHABLE
            ):  # what passes a threshold meanwhile is found when the database is back
                await self.look(pool)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self, pool: Pool) -> None:
        """Once: what has passed a threshold, and what waits to be delivered."""
        url = self._webhook()
        async with pool.acquire() as connection:
            for one in await store.raise_alerts(connection, url is not None):
                self._metrics.count("budget_alerts")
                spent = f"${usd(one.spent_nusd)} of ${usd(one.amount_nusd)}"
                log.warning(
                    "budget of %s %s per %s: %s spent (%d %%)", one.scope, one.subject, one.window, spent, one.percent
                )
            alert = await store.take_one(connection, PAUSES_S) if url is not None else None
        while url is not None and alert is not None:
            is_delivered = await self._deliver(url, alert)
            async with pool.acquire() as connection:
                if is_delivered:
                    await store.delivered(connection, alert)
                alert = await store.take_one(connection, PAUSES_S)

    async def _deliver(self, url: str, alert: store.Alert) -> bool:
        body = _body(alert)
        headers = {"Content-Type": "application/json", "User-Agent": "optyx"}
        if self._secret is not None:
            headers["x-optyx-signature"] = signature(self._secret, body, int(time.time()))
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                if 200 <= response.status < 300:
                    return True
                problem = f"it answered {response.status}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            problem = type(error).__name__
        self._metrics.count("budget_alerts_undelivered")
        log.warning("the alert webhook took no budget alert (try %d of %d): %s", alert.attempt, len(PAUSES_S), problem)
        return False


def signature(secret: Secret, body: bytes, at: int) -> str:
    """What a receiver compares, in constant time, with its own."""
    digest = hmac.new(secret.reveal().encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def _body(alert: store.Alert) -> bytes:
    return msgspec.json.encode(
        {
            "type": "budget.exhausted" if alert.percent == 100 else "budget.threshold",
            "budget_id": alert.budget_id,
            "scope": alert.scope,
            "subject": alert.owner,
            "user": alert.subject if alert.scope == "user" else None,
            "model": alert.model or None,
            "tier": alert.tier or None,
            "window": alert.window,
            "window_start": alert.window_start,
            "window_end": alert.window_end,
            "percent": alert.percent,
            "spent_usd": usd(alert.spent_nusd),
            "amount_usd": usd(alert.amount_nusd),
            "created_at": alert.created_at,
        }
    )
