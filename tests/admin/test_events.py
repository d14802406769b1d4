"""Calls, changes and providers' health on one stream: each once, also for a client that comes back."""

import asyncio
import contextlib
import json

import aiohttp


class Listener:
    """Keeps (event, data) and the last id."""

    def __init__(self, gateway, query="", last_id=""):
        self.gateway, self.query, self.last_id = gateway, query, last_id
        self.heard: list[tuple[str, dict]] = []

    async def __aenter__(self):
        token = await self.gateway.token()
        self.opened = asyncio.Event()
        self.task = asyncio.create_task(self._read(token))
        async with asyncio.timeout(10):
            await self.opened.wait()
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await self.task

    async def _read(self, token):
        headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": self.last_id} if self.last_id else {})}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.get(f"{self.gateway.admin_url}/events{self.query}", headers=headers) as response,
        ):
            assert response.status == 200, await response.text()
            event = ""
            async for raw in response.content:
                name, _, value = raw.decode().rstrip("\n").partition(": ")
                if name == "retry":
                    self.opened.set()
                elif name == "id":
                    self.last_id = value
                elif name == "event":
                    event = value
                elif name == "data" and event:
                    self.heard.append((event, json.loads(value)))

    def of(self, event):
        return [data for kind, data in self.heard if kind == event]

    async def until(self, holds):
        async with asyncio.timeout(15):
            while not holds(self):
                await asyncio.sleep(0.02)


async def test_calls_changes_and_providers_come_on_one_stream_and_go_on_where_they_were(gateway):
    await gateway.admin("PATCH", "/projects/default", {"name": "Before"})
    async with Listener(gateway) as first:
        await first.until(lambda one: {p["name"] for p in one.of("provider")} >= {"openai", "google"})
        called = await gateway.chat()
        await gateway.admin("PATCH", "/projects/default", {"name": "One"})
        await gateway.admin("POST", "/providers/google/disable")
        await first.until(lambda one: one.of("log") and len(one.of("audit")) == 2)
        await first.until(
            lambda one: [p for p in one.of("provider") if p["name"] == "google"][-1]["state"] == "disabled"
        )
        assert [row["request_id"] for row in first.of("log")] == [called.request_id]
        assert [entry["action"] for entry in first.of("audit")] == ["project.update", "provider.disable"]
    missed = await gateway.chat()
    await gateway.row(missed.request_id)
    await gateway.admin("PATCH", "/projects/default", {"name": "Two"})
    async with Listener(gateway, "?topics=audit,log", first.last_id) as second:
        await second.until(lambda one: one.of("log") and one.of("audit"))
        await gateway.admin("PATCH", "/projects/default", {"name": "Three"})
        await second.until(lambda one: len(one.of("audit")) == 2)
        assert [row["request_id"] for row in second.of("log")] == [missed.request_id]
        assert [entry["after"]["name"] for entry in second.of("audit")] == ["Two", "Three"]
        assert second.of("provider") == []


async def test_the_filter_is_the_logs_and_leaves_the_audit_alone(gateway):
    async with Listener(gateway, "?topics=log,audit&filter=status:5xx") as one:
        answered = await gateway.chat()
        await gateway.row(answered.request_id)
        await gateway.admin("PATCH", "/projects/default", {"name": "One"})
        await one.until(lambda one: one.of("audit"))
        assert one.of("log") == []


async def test_what_is_asked_wrongly_is_told_before_the_stream_begins(gateway):
    for query, says in (
        ("topics=log,news", "log, audit, provider"),
        ("after=xyz", "Last-Event-ID"),
        ("filter=colour:red", "colour"),
    ):
        answered = await gateway.admin("GET", f"/events?{query}")
        assert answered.status == 400, query
        assert says in answered.json["error"]["message"]
    assert not gateway.worker.tail.followers
