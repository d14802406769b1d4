"""`optyx explain`: what would happen to a request. No provider is called, nothing is spent."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tui import figures
from tui.columns import Column, money, number, until, words
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
    address: Annotated[
        str, typer.Option("--from", metavar="ADDRESS", help="Where it would come from, for a key bound to addresses.")
    ] = "",
    body: Annotated[str, typer.Option("--body", help="The request's JSON: a file, or - for stdin.")] = "",
) -> None:
    """Tier, targets and why, limits, cost ceiling, refusals. From flags, or from a request's JSON on stdin. Status 9 when it would be refused."""
    run = current()
    asked: dict[str, Any] = {"endpoint": "embeddings" if embeddings else "chat", "headers": _headers(header, tier)}
    if address:
        asked["address"] = address
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


TARGETS = [
    Column("TARGET", ".", lambda one: f"{one.get('provider')}/{one.get('model')}"),
    Column("VERDICT", "verdict"),
    Column("WHY", "why"),
    money("AT MOST", "cost_ceiling_nusd"),
    Column("ARITHMETIC", "arithmetic", wide=True),
]
LIMITS = [
    Column("SCOPE", "scope"),
    Column("OF", "name"),
    Column("KIND", "kind"),
    Column("WINDOW", "window"),
    number("NEEDS", ".", lambda one: _amount(one, "needs")),
    number("LEFT", ".", lambda one: _amount(one, "left")),
    number("OF", ".", lambda one: _amount(one, "size")),
    Column("ENOUGH", "is_enough"),
    until("RESETS", "resets_at"),
]
FACTS = (
    "endpoint",
    "project",
    "key",
    "allowed_addresses",
    "tier",
    "requested_model",
    "why",
    "user",
    "tags",
    "prompt_tokens_estimate",
    "max_output_tokens",
)


def _amount(one: dict[str, Any], name: str) -> str:
    """Budgets are money, everything else is a count."""
    value = one.get(name)
    return figures.dollars(value) if one.get("kind") in ("budget", "money") else words(value)


def show(run: Invocation, told: dict[str, Any]) -> None:
    """The verdict first, then targets and limits, then the arithmetic of the ceiling."""
    refusal = told.get("refusal")
    if refusal:
        run.out.line(f"refused: {told['status']} {refusal['code']}: {refusal['message']}")
    else:
        asked = next((one for one in told["targets"] if one["verdict"] == "asked"), None)
        run.out.line(f"goes to {asked['provider']}/{asked['model']}" if asked else "goes to nobody")
    for name in FACTS:
        if told.get(name) not in (None, [], ""):
            run.out.line(f"{name.replace('_', ' ')}: {words(told[name])}")
    if told["targets"]:
        run.out.line("targets:")
        run.out.rows(told["targets"], TARGETS, "model")
    if told["limits"]:
        run.out.line("limits:")
        run.out.rows(told["limits"], LIMITS, "name")
    if told.get("cost_ceiling_nusd") is not None:
        run.out.line(f"costs at most {figures.dollars(told['cost_ceiling_nusd'])}: {told['arithmetic']}")
