"""`optyx config`: get, set, unset, path, explain, validate, schema: what holds for every command, and where it comes from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui import contexts
from tui.columns import Column
from tui.faults import Fault, usage
from tui.flags import DEFAULTS, checked_default
from tui.invocation import current

config = typer.Typer(no_args_is_help=True, help="Defaults of this user's command line.")

Name = Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(DEFAULTS)}.")]


def _known(name: str) -> str:
    if name not in DEFAULTS:
        raise usage(f"there is no {name!r}", f"there are {', '.join(DEFAULTS)}")
    return name


@config.command("get")
def get(name: Annotated[str, typer.Argument(metavar="[NAME]")] = "") -> None:
    """One default, or all that are set."""
    run = current()
    book = contexts.read()
    if name:
        value = book.defaults.get(_known(name))
        if value is None:
            raise Fault(f"{name} is not set", exit=5, code="not_found", hint=f"optyx config set {name} VALUE")
        run.out.line(str(value))
    else:
        rows = [{"name": key, "value": value} for key, value in book.defaults.items()]
        run.list(rows, [Column("NAME", "name"), Column("VALUE", "value")], "name", "Nothing is set.")


@config.command("set")
def set_default(name: Name, value: str) -> None:
    """Make it hold for every command that isn't told otherwise."""
    book = contexts.read()
    checked_default(_known(name), value)
    book.defaults[name] = value
    contexts.write(book)
    current().done(f"{name} is {value}.")


@config.command("unset")
def unset(name: Name) -> None:
    """As it comes."""
    book = contexts.read()
    book.defaults.pop(_known(name), None)
    contexts.write(book)
    current().done(f"{name} is as it comes.")


@config.command("path")
def path() -> None:
    """Where the file is."""
    current().out.line(str(contexts.folder() / "config.toml"))


@config.command("explain")
def explain() -> None:
    """Each value in use, and who set it. The token itself is never shown."""
    run = current()
    place = run.place
    values: dict[str, Any] = {
        "context": place.context,
        "url": place.url,
        "project": place.project or None,
        "token": place.token_source or None,
    }
    rows = [{"name": name, "value": value, "source": place.sources.get(name, "")} for name, value in values.items()]
    book = contexts.read()
    for name in DEFAULTS:
        source = "flag" if name in run.flags.given else f"{book.path}" if name in book.defaults else "default"
        rows.append({"name": name, "value": getattr(run.flags, DEFAULTS[name]), "source": source})
    run.list(rows, [Column("NAME", "name"), Column("VALUE", "value"), Column("SET BY", "source")], "name")


@config.command("validate")
def validate() -> None:
    """Is the file right? Exit status 2 and the place when it isn't."""
    book = contexts.read()
    for name, value in book.defaults.items():
        checked_default(_known(name), str(value))
    for name in book.contexts:
        if not book.contexts[name].get("url"):
            raise usage(f"{book.path}: contexts.{name} has no url", f"optyx ctx edit {name} --url URL")
    current().done(f"{book.path} is right.")


@config.command("schema")
def schema() -> None:
    """What may stand in the file, as JSON Schema."""
    kinds = {str: "string", bool: "boolean"}
    one = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"type": kinds[kind]} for name, kind in contexts.KNOWN.items()},
    }
    defaults = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"type": "string"} for name in DEFAULTS},
    }
    current().out.plain_document(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": False,
            "properties": {"current": {"type": "string"}, "defaults": defaults, "contexts": {"type": "object", "additionalProperties": one}},
        }
    )  # fmt: skip
