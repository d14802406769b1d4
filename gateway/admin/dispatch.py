"""From the table to aiohttp: the one place where a request of the admin API is admitted, decoded, run, audited and answered.

Every route goes through `answer`, and the role is the matched route's own: nothing is decided by looking at a URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

import asyncpg
import msgspec
from aiohttp import web

from gateway import errors, ids
from gateway.admin import audit
from gateway.admin.decode import decode_body, decode_query, require_text
from gateway.admin.desk import Ask, Desk, Nothing, Reply, etag
from gateway.admin.guard import Guesses, admit, require_role
from gateway.admin.schema.people import Role
from gateway.responses import error_response
from gateway.store import catalog, replies
from gateway.store.pool import CONNECT_TIMEOUT_S, UNREACHABLE, Connection

log = logging.getLogger(__name__)

PREFIX = "/admin/v1"
LARGEST_BODY = 1 << 20
BODY_TIMEOUT_S = 30.0
IN_FORCE_S = 0.5
"""A change is in force on the worker that answers it; the others follow within this time too."""
AWAY = "The database can't be reached. Try again shortly; a POST with an Idempotency-Key is never done twice."
UNIQUE = {
    "projects_org_id_slug_key": "slug",
    "providers_name_key": "name",
    "models_pkey": "id",
    "prices_provider_id_model_id_effective_from_key": "effective_from",
    "users_email_key": "email",
}
"""The field behind each constraint that a caller can run into."""
OF_FORMS = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded")
"""What a page of another origin may send without asking: refused even with an empty body."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Handler = Callable[[Ask[Any, Any]], Awaitable[Any]]

_VIA = re.compile(r"[a-z0-9._-]{1,32}")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table in `routes`, which says what the fields mean."""

    method: Method
    path: str
    handler: Handler
    role: Role
    answer: Any
    summary: str
    body: type[msgspec.Struct] = Nothing
    query: type[msgspec.Struct] = Nothing
    status: int = 200
    db: Literal["read", "write", "none"] = "read"
    once: str | None = None
    takes_slashes: bool = False


def add_routes(app: web.Application, desk: Desk, table: Iterable[Route]) -> None:
    guesses = Guesses()
    for route in table:
        path = f"{route.path.removesuffix('}')}:.+}}" if route.takes_slashes else route.path
        app.router.add_route(route.method, PREFIX + path, _bound(desk, guesses, route))


def _bound(desk: Desk, guesses: Guesses, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await answer(desk, guesses, route, request)

    return serve


async def answer(desk: Desk, guesses: Guesses, route: Route, request: web.Request) -> web.StreamResponse:
    """Always an answer in one of two shapes: the route's own, or the error's."""
    request_id = ids.of_request(request.headers.get("x-request-id"))
    try:
        response = await _serve(desk, guesses, route, request, request_id)
    except errors.Refusal as refusal:
        response = error_response(refusal)
    except asyncpg.UniqueViolationError as taken:
        field = UNIQUE.get(taken.constraint_name or "")
        response = error_response(errors.Conflict(f"There is one with this {field or 'name'} already.", param=field))
    except asyncpg.ForeignKeyViolationError:
        response = error_response(errors.Conflict("Other things still refer to it, or it refers to what is gone."))
    except asyncpg.DataError:
        response = error_response(errors.BadRequest("A value is out of the range that can be stored or compared."))
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
        response = error_response(_away("Two changes met; nothing was changed. Try again."))
    except UNREACHABLE:
        response = error_response(_away(AWAY))
    except Exception:
        log.exception("%s %s ended in a defect of the gateway", route.method, route.path)
        response = error_response(errors.Refusal("The gateway has a defect; its log says more."))
    if not response.prepared:
        response.headers["x-request-id"] = request_id
        response.headers["Cache-Control"] = "no-store"
    return response


async def _serve(
    desk: Desk, guesses: Guesses, route: Route, request: web.Request, request_id: str
) -> web.StreamResponse:
    who = await admit(desk.pool, guesses, request.headers.get("Authorization"), _address(request))
    raw = await _read(request)
    ask: Ask[Any, Any] = Ask(desk, who, request, request_id, None, None)
    ask.reason, ask.via = _reason(request), _via(request)
    try:
        require_role(who, route.role)
        for name, part in ask.path.items():
            require_text(part, name)
        ask.query = decode_query(request.query.items(), route.query)
        ask.body = decode_body(raw, route.body)
        return await _run(route, ask, raw)
    except errors.Forbidden:
        await _keep_refusal(ask, route)
        raise


async def _run(route: Route, ask: Ask[Any, Any], raw: bytes) -> web.StreamResponse:
    if route.db == "none":
        return _respond(route, await route.handler(ask))
    async with ask.desk.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
        ask.give(connection)
        if route.db == "read":
            return _respond(route, await route.handler(ask))
        async with connection.transaction():
            response = await _change(route, ask, connection, raw)
        with contextlib.suppress(*UNREACHABLE):  # it is done: a database that goes away now makes it no failure
            await ask.desk.holder.reached(await catalog.read_epoch(connection), IN_FORCE_S)
        return response


async def _change(route: Route, ask: Ask[Any, Any], connection: Connection, raw: bytes) -> web.StreamResponse:
    """Inside the transaction: a change, its audit and (for a POST with Idempotency-Key) its answer for a repetition: all of them or none."""
    name = _idempotency_key(ask.request) if route.method == "POST" else None
    if name is not None:
        digest = hashlib.sha256(b"%b %b\n%b" % (route.method.encode(), ask.request.path.encode(), raw)).digest()
        stored = await replies.claim(connection, ask.who.token_id, name, digest)
        if stored is not None:
            return _repeat(stored, digest)
    reply = _as_reply(route, await route.handler(ask))
    await audit.append(connection, ask)
    if name is not None:
        kept = msgspec.to_builtins(reply.body)
        if route.once is not None:
            kept[route.once] = None
            kept["note"] = f"This was done before; its {route.once} was shown in that answer, and only there."
        await replies.keep(connection, ask.who.token_id, name, reply.status, msgspec.json.encode(kept).decode())
    return _respond(route, reply)


def _repeat(stored: tuple[bytes, int, str], digest: bytes) -> web.Response:
    was, status, body = stored
    if was != digest:
        raise errors.Unprocessable(
            "This Idempotency-Key was used for another request.", code="idempotency_mismatch", param="Idempotency-Key"
        )
    headers = {"Content-Type": "application/json", "Idempotent-Replayed": "true"}
    return web.Response(body=body.encode(), status=status, headers=headers)


def _as_reply(route: Route, given: Any) -> Reply:
    return given if isinstance(given, Reply) else Reply(given, route.status)


def _respond(route: Route, given: Any) -> web.StreamResponse:
    if isinstance(given, web.StreamResponse):
        return given
    reply = _as_reply(route, given)
    headers = {"Content-Type": "application/json", **reply.headers}
    if reply.version is not None:
        headers["ETag"] = etag(reply.version)
    return web.Response(body=msgspec.json.encode(reply.body), status=reply.status, headers=headers)


async def _read(request: web.Request) -> bytes:
    """The body: JSON by its content type (none given is taken as JSON), not encoded, at most a mebibyte."""
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and (request.body_exists or kind in OF_FORMS):
        raise errors.UnsupportedMedia("The admin API takes application/json, and nothing else.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise errors.UnsupportedMedia("Send the body as it is, without Content-Encoding.", code="unsupported_encoding")
    if (request.content_length or 0) > LARGEST_BODY:
        raise _too_large()
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > LARGEST_BODY:
                    raise _too_large()
    except TimeoutError:
        raise errors.BadRequest("The body came too slowly.", status=408, code="request_timeout") from None
    except (web.RequestPayloadError, web.HTTPException):
        raise errors.BadRequest("The body is broken.") from None
    return bytes(raw)


async def _keep_refusal(ask: Ask[Any, Any], route: Route) -> None:
    """What somebody tried without the right to: in the audit too. A GET changes nothing and is not kept."""
    if route.method == "GET":
        return
    ask.entries.clear()  # what it had done was taken back
    audit.record(ask, f"{route.method} {route.path}", ("route", None, ask.request.path[:200]), result="forbidden")
    async with ask.desk.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection, connection.transaction():
        await audit.append(connection, ask)


def _reason(request: web.Request) -> str | None:
    value = request.headers.get("x-optyx-reason")
    if value is not None and not (1 <= len(value) <= 500 and value.isprintable()):
        raise errors.BadRequest("x-optyx-reason must be 1 to 500 printable characters.", param="x-optyx-reason")
    return value


def _via(request: web.Request) -> str:
    """What made the change and from where, as the trail keeps it: `cli 10.2.0.7`."""
    value = request.headers.get("x-optyx-via", "api")
    if not _VIA.fullmatch(value):
        raise errors.BadRequest("x-optyx-via must be 1 to 32 of a-z, 0-9, dot, dash, underscore.", param="x-optyx-via")
    return f"{value} {request.remote}" if request.remote else value


def _idempotency_key(request: web.Request) -> str | None:
    value = request.headers.get("Idempotency-Key")
    if value is not None and not (1 <= len(value) <= 255 and value.isprintable()):
        raise errors.BadRequest("Idempotency-Key must be 1 to 255 printable characters.", param="Idempotency-Key")
    return value


def _address(request: web.Request) -> str:
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _away(message: str) -> errors.Unavailable:
    return errors.Unavailable(message, code="database_unavailable", retry_after_s=2)


def _too_large() -> errors.TooLarge:
    return errors.TooLarge(f"The admin API takes bodies of at most {LARGEST_BODY >> 20} MiB.")
