"""`optyx api`: any route of the admin API, signed in."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from tui.faults import usage
from tui.invocation import current
from tui.safe import escaped
from tui.setting_values import scalar

api = typer.Typer()


@api.command()
def api_command(
    method: Annotated[str, typer.Argument(help="GET, POST, PATCH, PUT or DELETE.")],
    path: Annotated[str, typer.Argument(help="/projects, or the whole path.")],
    field: Annotated[
        list[str] | None, typer.Option("--field", "-f", help="NAME=VALUE: of the query for GET, of the body otherwise.")
    ] = None,
    input: Annotated[str, typer.Option("--input", help="The body's JSON: a file, or - for stdin.")] = "",
    paginate: Annotated[bool, typer.Option("--paginate", help="Every page of a list, as one.")] = False,
) -> None:
    """One request, its answer as JSON. Changes are dry runs with --dry-run, like everywhere."""
    run = current()
    method = method.upper()
    if method not in ("GET", "POST", "PATCH", "PUT", "DELETE") or not path.startswith("/"):
        raise usage("it is METHOD /PATH", "optyx api GET /projects")
    fields = _fields(field or [])
    if method == "GET":
        found: Any = (
            {"data": run.every(path, **fields), "next": None} if paginate else run.ask("GET", path, query=fields).body
        )
    else:
        body = _body(input) if input else fields or None
        found = run.change(method, path.removeprefix("/admin/v1"), body).body
    run.out.write(escaped(json.dumps(found, ensure_ascii=False, indent=2)))


def _fields(pairs: list[str]) -> dict[str, Any]:
    made = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise usage(f"--field {pair}: it is NAME=VALUE")
        made[name] = scalar(value)
    return made


def _body(source: str) -> Any:
    try:
        if source == "-":
            return json.load(sys.stdin)
        with open(source, encoding="utf-8") as file:
            return json.load(file)
    except (ValueError, OSError) as error:
        raise usage(f"--input {source}: {error}") from None
