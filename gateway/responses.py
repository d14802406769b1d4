"""A refusal as aiohttp sends it: for everything but calls, whose answers are written as bytes. Used by the server, `plain` and `admin`."""

from __future__ import annotations

from aiohttp import web

from gateway import errors


def error_response(refusal: errors.Refusal) -> web.Response:
    headers = {"Server": "optyx", **errors.headers(refusal)}
    return web.Response(body=errors.body(refusal), status=refusal.status, headers=headers)
