"""A gateway under test: a real worker on a real socket, on a database of the test's own, in front of a scripted provider."""

from __future__ import annotations

import asyncio
import io
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec

from gateway import config, ids, keyring, seed
from gateway.admin.routes import ROUTES
from gateway.app import Worker
from gateway.config import Config
from tests.upstream import Upstream

Json = dict[str, Any]
FAST = {"GATEWAY_LAME_DUCK_S": "0", "GATEWAY_DRAIN_S": "5", "LOG_LEVEL": "error"}


class Gateway:
    """One worker. `key` is a project's key; `session` speaks HTTP to it."""

    def __init__(self, settings: Config, upstream: Upstream) -> None:
        self.config = settings
        self.upstream = upstream
        self.key = ""
        self.project_id = ""
        self.org_id = ""
        self.admin_url = f"http://127.0.0.1:{settings.admin_port or settings.port}/admin/v1"
        self.tokens: dict[str, str] = {}
        self.url = f"http://127.0.0.1:{settings.port}"
        self.worker: Worker
        self.db: asyncpg.Connection
        self.session: aiohttp.ClientSession
        self._task: asyncio.Task[None]

    async def start(self) -> None:
        assert self.config.database_url is not None
        self.db = await asyncpg.connect(self.config.database_url.reveal())
        seeded = await seed.seed(self.db)
        self.project_id, self.org_id = seeded.project_id, seeded.org_id
        self.key = await self.new_key()
        self.session = aiohttp.ClientSession(auto_decompress=False)
        await self.start_worker()

    async def start_worker(self, sandbox_url: str | None = None) -> None:
        ready = asyncio.Event()
        assert self.config.database_url is not None
        self.worker = Worker(self.config, self.config.database_url, sandbox_url)
        self._task = asyncio.create_task(self.worker.run(ready.set), name="gateway")
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()

    async def stop_worker(self) -> None:
        self.worker.stop()
        await self._task

    async def stop(self) -> None:
        if not self._task.done():
            await self.stop_worker()
        await self.session.close()
        await self.db.close()

    async def new_key(self, name: str = "test", project_id: str | None = None) -> str:
        minted = keyring.mint()
        await self.db.execute(
            "INSERT INTO api_keys (id, project_id, name, public_id, digest) VALUES ($1, $2, $3, $4, $5)",
            ids.new("key"), project_id or self.project_id, name, minted.public_id, minted.digest,
        )  # fmt: skip
        return minted.text

    async def token(self, role: str = "owner") -> str:
        """An admin token of that role, made once."""
        if role not in self.tokens:
            minted = keyring.mint_admin_token()
            await self.db.execute(
                "INSERT INTO admin_tokens (id, name, digest, public_id, role) VALUES ($1, $2, $3, $4, $5)",
                ids.new("adm"), f"the {role}", minted.digest, minted.public_id, role,
            )  # fmt: skip
            self.tokens[role] = minted.text
        return self.tokens[role]

    async def admin(
        self, method: str, path: str, body: Any = None, *, role: str = "owner", headers: dict[str, str] | None = None
    ) -> Answered:
        """One request to the admin API; `path` from after /admin/v1. Bytes go as they are, anything else as JSON. Every good answer is
        held to the shape that its route declares."""
        sent = {"Authorization": f"Bearer {await self.token(role)}", **(headers or {})}
        given: dict[str, Any] = (
            {"data": io.BytesIO(body)} if isinstance(body, bytes) else {} if body is None else {"json": body}
        )
        async with self.session.request(method, self.admin_url + path, headers=sent, **given) as response:
            answered = Answered(response.status, response.headers, await response.read())
        if answered.status < 300 and answered.headers.get("content-type") == "application/json":
            require_declared_shape(method, path, answered.json)
        return answered

    async def changed(self) -> None:
        """Waits until the worker's catalog is what the database holds."""
        epoch = await self.db.fetchval("SELECT value FROM catalog_epoch")
        while self.worker.refresh.catalog.epoch < epoch:
            await asyncio.sleep(0.005)

    async def execute(self, statement: str, *arguments: object) -> None:
        await self.db.execute(statement, *arguments)
        await self.changed()

    def headers(self, **more: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.key}",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    async def post(self, path: str, body: Json | bytes, **headers: str) -> Answered:
        given: dict[str, Any] = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        kind = {"Content-Type": "application/json"} if isinstance(body, bytes) else {}
        async with self.session.post(self.url + path, headers={**kind, **self.headers(**headers)}, **given) as response:
            return Answered(response.status, response.headers, await response.read())

    async def chat(self, text: str = "Hi", headers: dict[str, str] | None = None, **more: Any) -> Answered:
        body = {"messages": [{"role": "user", "content": text}], **more}
        return await self.post("/v1/chat/completions", body, **(headers or {}))

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answered:
        async with self.session.get(self.url + path, headers=headers or {}) as response:
            return Answered(response.status, response.headers, await response.read())

    def trust_everybody(self) -> None:
        """No target rests any more."""
        for provider in self.worker.refresh.catalog.providers.values():
            self.worker.health.close(provider.id)

    async def row(self, request_id: str, timeout_s: float = 5) -> asyncpg.Record:
        """The log's row of a call, once it has arrived."""
        async with asyncio.timeout(timeout_s):
            while True:
                row = await self.db.fetchrow("SELECT * FROM request_logs WHERE request_id = $1", request_id)
                if row is not None:
                    return row
                await asyncio.sleep(0.01)


def require_declared_shape(method: str, path: str, body: Json) -> None:
    """What a route answers is its struct, and nothing besides."""
    plain = path.partition("?")[0]
    for route in ROUTES:
        pattern = re.sub(r"{\w+}", "(.+)" if route.takes_slashes else "([^/]+)", route.path)
        if route.method == method and re.fullmatch(pattern, plain):
            declared = msgspec.to_builtins(msgspec.convert(body, route.answer))
            assert declared == body, f"{method} {path} gives what {route.answer} does not declare"
            return
    raise AssertionError(f"{method} {path} is not in the table of routes")


class Answered:
    """An answer, read to its end."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Json:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def request_id(self) -> str:
        return str(self.headers["x-request-id"])

    @property
    def events(self) -> list[str]:
        return [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]


def configuration(database_url: str, home: Path, port: int, upstream: Upstream, **more: str) -> Config:
    settings = {
        "DATABASE_URL": database_url,
        "OPTYX_HOME": str(home),
        "GATEWAY_PORT": str(port),
        "OPENAI_API_KEY": "sk-upstream-secret",
        "OPENAI_BASE_URL": upstream.base_url,
        "GOOGLE_API_KEY": "google-secret",
        "GOOGLE_BASE_URL": upstream.root_url,
        **FAST,
        **more,
    }
    return config.load({name: value for name, value in settings.items() if value})
