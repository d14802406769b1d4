"""`optyx explain`: what would happen to a request. No provider is called, nothing is spent."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tui.columns import Column, words
from tui.faults import usage
from tui.invocation import Invocation, current

explain = typer.Typer()

REFUSED = 9


@explain.command()
def explain_command(
    prompt: Annotated[str, typer.Argument(metavar="[PROMPT]", help="What would be asked.")] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="The model that would be asked for.")] = "",
    tier: Annotated[str, typer.Option("--tier", help="The tier that would be asked for.")] = "",
    key: Annotated[
        str, typer.Option("--key", help="With this key (name, id or prefix); without it: the project.")
    ] = "",
    embeddings: Annotated[bool, typer.Option("--embeddings", help="As a call for embeddings.")] = False,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1)] = None,
    stream: Annotated[bool, typer.Option("--stream")] = False,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="NAME: VALUE; repeat it.")] = None,
    body: Annotated[str, typer.Option("--body", help="The request's JSON: a file, or - for stdin.")] = "",
) -> None:
    """Tier, targets and why, limits, cost ceiling, refusals. From flags, or from a request's JSON on stdin. Status 9 when it would be refused."""
    run = current()
    asked: dict[str, Any] = {"endpoint": "embeddings" if embeddings else "chat", "headers": _headers(header, tier)}
    asked["body"] = _body(body, prompt, model, embeddings, max_tokens, stream)
    if key:
        from tui.commands.keys import found

        asked["key_id"] = found(run, key)["id"]
    else:
        asked["project"] = run.needed_project()
    told = run.ask("POST", "/explain", body=asked).body
    if run.out.is_for_people:
        show(run, told)
    else:
        run.out.document(told)
    if told.get("refusal") or told.get("status", 200) >= 400:
        raise typer.Exit(REFUSED)


def _headers(header: list[str] | None, tier: str) -> dict[str, str]:
    headers = {"x-optyx-tier": tier} if tier else {}
    for one in header or []:
        name, colon, value = one.partition(":")
        if not colon:
            raise usage(f"--header {one}: it is NAME: VALUE")
        headers[name.strip().lower()] = value.strip()
    return headers


def _body(body: str, prompt: str, model: str, embeddings: bool, max_tokens: int | None, stream: bool) -> dict[str, Any]:
    import json

    is_piped = not sys.stdin.isatty() and not (prompt or model)
    if body or is_piped:
        try:
            text = open(body, encoding="utf-8").read() if body not in ("", "-") else sys.stdin.read()  # noqa: SIM115 - read at once
            found = json.loads(text) if text.strip() or body else {}
        except (ValueError, OSError) as error:
            raise usage(f"the request's JSON can't be read: {error}") from None
        if not isinstance(found, dict):
            raise usage("the request's JSON must be an object")
        if found:
            return found
    made: dict[str, Any] = (
        {"input": prompt or "Hello"} if embeddings else {"messages": [{"role": "user", "content": prompt or "Hello"}]}
    )
    for name, value in (("model", model), ("max_tokens", max_tokens), ("stream", stream)):
        if value:
            made[name] = value
    return made


def show(run: Invocation, told: dict[str, Any]) -> None:
    """Whatever the gateway tells, in its own order: lists of records as tables, the rest as lines."""
    for name, value in told.items():
        label = name.replace("_", " ")
        if isinstance(value, list) and value and isinstance(value[0], dict):
            run.out.line(f"{label}:")
            paths = list(dict.fromkeys(path for one in value for path in one))
            run.out.rows(value, [Column(path.replace("_", " ").upper(), path) for path in paths])
        elif isinstance(value, list) and value:
            run.out.line(f"{label}:")
            for one in value:
                run.out.line(f"  {words(one)}")
        elif value not in (None, [], {}):
            run.out.line(f"{label}: {words(value)}")
