"""What is asked outside of a call: health, models, metrics, and the refusals of aiohttp's router in our shape."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway import errors, exposition, ids
from gateway.catalog import Key, Model, Project
from gateway.front import AiohttpCaller
from gateway.proxy.answer import EXPOSED
from gateway.proxy.authenticate import authenticate
from gateway.proxy.call import Plane
from gateway.proxy.choose import is_allowed
from gateway.responses import error_response

Readiness = Callable[[], tuple[bool, dict[str, str]]]
PLANE = web.AppKey("plane", Plane)
READINESS: web.AppKey[Readiness] = web.AppKey("readiness")
NUMBERS: web.AppKey[Callable[[], list[exposition.Numbers]]] = web.AppKey("numbers")
VERSION = web.AppKey("version", str)

OPEN_PATHS = ("/health", "/v1/", "/models", "/chat/", "/embeddings")


def add_routes(app: web.Application) -> None:
    app.router.add_get("/health", health)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", metrics)
    for prefix in ("/v1", ""):
        app.router.add_get(f"{prefix}/models", models)
        app.router.add_get(f"{prefix}/models/{{id:.+}}", model)
        for path in ("/chat/completions", "/embeddings"):  # the server takes these itself; here for 405 with Allow
            app.router.add_post(prefix + path, _taken_by_the_server)


async def _taken_by_the_server(_: web.Request) -> web.StreamResponse:
    raise errors.NotFound("This path is taken by the server itself.")


async def health(request: web.Request) -> web.Response:
    return _json({"status": "ok", "service": "optyx-gateway", "version": request.app[VERSION]})


async def ready(request: web.Request) -> web.Response:
    """200 `ready` or `degraded`; 503 when draining or unable to serve."""
    is_able, components = request.app[READINESS]()
    draining = request.app[PLANE].is_draining
    if draining or not is_able:
        response = _json({"status": "draining" if draining else "unavailable", "components": components}, 503)
        response.headers["Retry-After"] = "1"
        return response
    well = all(state == "ok" for state in components.values())
    return _json({"status": "ready" if well else "degraded", "components": components})


async def metrics(request: web.Request) -> web.Response:
    body = exposition.render(request.app[NUMBERS]())
    return web.Response(body=body, headers={"Content-Type": exposition.CONTENT_TYPE})


async def models(request: web.Request) -> web.Response:
    """Without a key the catalog of enabled models, with one exactly what that key may call."""
    return _json({"object": "list", "data": list((await _callable_models(request)).values())})


async def model(request: web.Request) -> web.Response:
    wanted = request.match_info["id"]
    found = (await _callable_models(request, wanted)).get(wanted)
    if found is None:
        raise errors.NotFound(f"The model '{wanted[:256]}' does not exist here.", code="model_not_found", param="model")
    return _json(found)


async def _callable_models(request: web.Request, also: str | None = None) -> dict[str, dict[str, Any]]:
    plane = request.app[PLANE]
    found: tuple[Key, Project] | None = None
    if request.headers.get("authorization") is not None or request.headers.get("x-api-key") is not None:
        found = await authenticate(plane, AiohttpCaller.of(request), time.time())
    catalog = plane.holder.catalog
    names: dict[str, dict[str, Any]] = {}
    for tier, targets in (found[1].tiers if found else catalog.tiers).items():
        usable = [
            t.model
            for t in targets
            if _is_offered(t.model) and (found is None or is_allowed(t.model, found[1], found[0]))
        ]
        if usable:
            names[tier] = _entry(tier, 0, "optyx")
    for name, entry in catalog.models.items():
        is_main_name = (
            name == entry.id or catalog.models[entry.id] is not entry
        )  # a second provider's has only its full name
        if not (is_main_name or name == also) or not _is_offered(entry):
            continue
        if found is None or is_allowed(entry, found[1], found[0]):
            names[name] = _entry(name, entry.created, entry.provider.name)
    return names


def _is_offered(entry: Model) -> bool:
    return entry.enabled and entry.provider.enabled


def _entry(name: str, created: int, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, headers={"Content-Type": "application/json"})


@web.middleware
async def in_our_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors of the router and refusals of handlers in the one shape; CORS for the open paths."""
    plane = request.app[PLANE]
    if (
        request.method == "OPTIONS"
        and plane.cors_origins
        and "Access-Control-Request-Method" in request.headers
        and _is_open(request.path)
    ):
        return _preflight(plane, request)
    try:
        response = await handler(request)
    except errors.Refusal as refusal:
        response = error_response(refusal)
    except web.HTTPMethodNotAllowed as wrong:
        allowed = ", ".join(sorted(wrong.allowed_methods))
        response = error_response(
            errors.MethodNotAllowed(
                f"{request.method} is not a method of {request.path[:200]}; {allowed} is.", headers={"Allow": allowed}
            )
        )
    except web.HTTPNotFound:
        response = error_response(
            errors.NotFound(f"There is nothing at {request.path[:200]}. See docs/request-path.md.")
        )
    except web.HTTPRequestEntityTooLarge:
        response = error_response(errors.TooLarge("The request body is too large."))
    except web.HTTPException as other:
        response = error_response(
            errors.BadRequest(other.reason or "The request can't be served.", status=other.status)
        )
    if not response.prepared:
        response.headers.setdefault("Server", "optyx")
        if plane.is_draining:
            response.force_close()
        response.headers.setdefault("x-request-id", ids.of_request(request.headers.get("x-request-id")))
    _open_to_origins(plane, request, response)
    return response


def _is_open(path: str) -> bool:
    return path == "/health" or path.startswith(OPEN_PATHS)


def _open_to_origins(plane: Plane, request: web.Request, response: web.StreamResponse) -> None:
    if not plane.cors_origins or not _is_open(request.path) or response.prepared:
        return
    response.headers["Vary"] = "Origin"
    origin = request.headers.get("Origin")
    if origin in plane.cors_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED


def _preflight(plane: Plane, request: web.Request) -> web.Response:
    response = web.Response(status=204, headers={"Server": "optyx", "Vary": "Origin"})
    response.headers["x-request-id"] = ids.of_request(request.headers.get("x-request-id"))
    origin = request.headers.get("Origin")
    if origin in plane.cors_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = request.headers.get(
            "Access-Control-Request-Headers", "authorization, content-type"
        )
        response.headers["Access-Control-Max-Age"] = "600"
    return response
