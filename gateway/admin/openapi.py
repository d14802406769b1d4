"""The OpenAPI document, made from the table: what is not in the table can't be asked, and what is in it is described."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.admin.desk import Nothing
from gateway.admin.dispatch import PREFIX, Route

_PART = re.compile(r"{(\w+)}")

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}


def document(table: Iterable[Route], version: str) -> dict[str, Any]:
    routes = list(table)
    types = list(dict.fromkeys(kind for r in routes for kind in (r.answer, r.body) if kind not in (None, Nothing)))
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Optyx admin API", "version": version},
        "security": [{"admin": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": ERROR},
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer", "description": "sk-optyx-admin-…"}},
        },
    }


def _operation(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    module = route.handler.__module__.rpartition(".")[2]
    answer: dict[str, Any] = {"description": route.summary}
    if route.answer is None:
        answer["content"] = {"text/event-stream": {}}
    else:
        answer["content"] = {"application/json": {"schema": schemas[route.answer]}}
    error = {
        "description": "Refused",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    told: dict[str, Any] = {
        "operationId": f"{module}.{route.handler.__name__}",
        "summary": route.summary,
        "tags": [module],
        "x-optyx-role": route.role,
        "parameters": [*_path(route), *_query(route)],
        "responses": {str(route.status): answer, "default": error},
    }
    if route.body is not Nothing:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[route.body]}}}
    return told


def _path(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PART.findall(PREFIX + route.path)
    ]


def _query(route: Route) -> list[dict[str, Any]]:
    if route.query is Nothing:
        return []
    (_,), components = msgspec.json.schema_components([route.query])
    schema = components[route.query.__name__]
    wanted = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in wanted,
            "schema": {k: v for k, v in one.items() if k != "default"},
        }
        for name, one in schema["properties"].items()
    ]
