"""`optyx models` and `optyx prices`: what can be called, who may, and what it costs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui import figures
from tui.columns import Column, absolute, number
from tui.faults import Fault, usage
from tui.invocation import Invocation, current, path_of
from tui.wire import quoted

models = typer.Typer(no_args_is_help=True, help="What can be called.")
prices = typer.Typer(no_args_is_help=True, help="What tokens cost, from when on, and who says so.")


def _per_million(nusd: int | None) -> str:
    return figures.NONE if nusd is None else f"${nusd / figures.NUSD:,.4f}".rstrip("0").rstrip(".")


COLUMNS = [
    Column("MODEL", "id"), Column("PROVIDER", "provider"), Column("MODE", "mode"), Column("ENABLED", "enabled"),
    number("INPUT", "max_input_tokens", figures.count), number("OUTPUT", "max_output_tokens", figures.count),
    number("$ IN / 1M", "input_nusd", _per_million), number("$ OUT / 1M", "output_nusd", _per_million),
    number("$ CACHED / 1M", "cached_nusd", _per_million), number("24 H", "requests_24h"),
    number("TTFT P95", "ttft_p95_ms", figures.duration, wide=True), Column("CALLED THERE", "upstream_name", wide=True),
]  # fmt: skip
PRICES = [
    Column("MODEL", "model"), Column("PROVIDER", "provider"), number("$ IN / 1M", "input_usd"), number("$ OUT / 1M", "output_usd"),
    number("$ CACHED / 1M", "cached_input_usd"), Column("FROM", "effective_from", figures.day),
    Column("SOURCE", "source"), Column("ID", "id", wide=True),
]  # fmt: skip
ProviderFlag = Annotated[str, typer.Option("--provider", help="Of this provider alone.")]


@models.command("list")
def list_models(provider: ProviderFlag = "") -> None:
    """Every model with its limits and prices."""
    run = current()
    run.list(run.rows("/models", provider=provider), COLUMNS, "id")


@models.command("get")
def get(model: str, provider: ProviderFlag = "") -> None:
    """One model, at each provider that has it."""
    run = current()
    run.list(_of(run, model, provider), COLUMNS, "id")


def _of(run: Invocation, model: str, provider: str) -> list[dict[str, Any]]:
    there = [one for one in run.every("/models", provider=provider) if one["id"] == model]
    if not there:
        raise Fault(
            f"there is no model {model!r}" + (f" of {provider}" if provider else ""),
            exit=5,
            code="not_found",
            hint="optyx models list",
        )
    return there


@models.command("test")
def try_model(model: str, provider: ProviderFlag = "") -> None:
    """Ask it for one token, or a vector, at each provider that has it; costs a little. Exit status 9 when a step fails."""
    from tui import trying

    run = current()
    names = [one["provider"] for one in _of(run, model, provider)]
    trying.show(run, names, {"chat": True, "model": model})


@models.command("add")
def add(
    model: str,
    provider: Annotated[str, typer.Option("--provider", help="Whose it is.")],
    mode: Annotated[str, typer.Option("--mode", help="chat or embedding.")] = "chat",
    upstream: Annotated[
        str, typer.Option("--called-there", help="Its name at the provider, where that is another.")
    ] = "",
    max_input: Annotated[int | None, typer.Option("--max-input", min=1)] = None,
    max_output: Annotated[int | None, typer.Option("--max-output", min=1)] = None,
    free: Annotated[bool, typer.Option("--free", help="It costs nothing: no price is needed.")] = False,
) -> None:
    """A model that the catalog doesn't know yet. Without a price, keys with a budget can't call it."""
    run = current()
    body: dict[str, Any] = {"id": model, "provider": provider, "mode": mode, "is_free": free}
    for name, value in (
        ("upstream_name", upstream),
        ("max_input_tokens", max_input),
        ("max_output_tokens", max_output),
    ):
        if value:
            body[name] = value
    run.change("POST", "/models", body)
    run.done(
        f"Added {model} of {provider}."
        + ("" if free else f" Its price: optyx prices add {model} --provider {provider} --input USD --output USD")
    )


def _switch(model: str, provider: str, on: bool) -> None:
    run = current()
    there = _of(run, model, provider)
    if len(there) > 1:
        raise usage(
            f"several providers have {model}: {', '.join(one['provider'] for one in there)}",
            "say which with --provider",
        )
    if not on:
        run.confirm(f"{model} of {there[0]['provider']} can't be called any more")
    run.change("PATCH", f"/models/{quoted(there[0]['provider'])}/{quoted(model)}", {"enabled": on})
    run.done(
        f"{model} of {there[0]['provider']} is {'enabled' if on else 'disabled'}.",
        f"optyx models {'disable' if on else 'enable'} {model}",
    )


@models.command("enable")
def enable(model: str, provider: ProviderFlag = "") -> None:
    """Let it be called."""
    _switch(model, provider, True)


@models.command("disable")
def disable(model: str, provider: ProviderFlag = "") -> None:
    """Let nobody call it."""
    _switch(model, provider, False)


@models.command("allow")
def allow(
    patterns: Annotated[list[str], typer.Argument(metavar="MODEL…", help="Names, or patterns like claude-*.")],
) -> None:
    """Add to a project's allow-list. A project without one may call everything: then only these."""
    from tui.commands.settings import save

    run = current()
    project = run.needed_project()
    before = run.get(path_of("projects", project, "settings"))["allowed_models"] or []
    save(run, project, {"allowed_models": [*before, *(one for one in patterns if one not in before)]})


@models.command("disallow")
def disallow(
    patterns: Annotated[list[str], typer.Argument(metavar="MODEL…", help="As they stand on the list.")],
) -> None:
    """Take from a project's allow-list."""
    from tui.commands.settings import save

    run = current()
    project = run.needed_project()
    before = run.get(path_of("projects", project, "settings"))["allowed_models"]
    missing = [one for one in patterns if one not in (before or [])]
    if before is None or missing:
        raise Fault(
            f"{', '.join(missing or patterns)}: not on the allow-list of {project}",
            exit=5,
            code="not_found",
            hint=f"optyx settings get allowed_models -p {project}",
        )
    save(run, project, {"allowed_models": [one for one in before if one not in patterns]})


@models.command("default")
def default(
    tier: Annotated[str, typer.Argument(help="What calls without a model use; null: the gateway's own.")],
) -> None:
    """A project's default tier."""
    from tui.commands.settings import save
    from tui.setting_values import scalar

    run = current()
    save(run, run.needed_project(), {"default_tier": scalar(tier)})


@models.command("prices")
def model_prices(
    unpriced: Annotated[bool, typer.Option("--unpriced", help="Those without a price alone.")] = False,
) -> None:
    """What each model costs now."""
    run = current()
    there = run.every("/models")
    if unpriced:
        there = [one for one in there if one.get("input_nusd") is None and not one.get("is_free")]
    run.list(there, COLUMNS, "id", "Every model has a price.")


@prices.command("list")
def list_prices(model: Annotated[str, typer.Option("--model", "-m")] = "", provider: ProviderFlag = "") -> None:
    """Every price, also those of the past, newest first."""
    run = current()
    run.list(run.rows("/prices", model=model, provider=provider), PRICES, "id")


@prices.command("add")
def add_price(
    model: str,
    provider: Annotated[str, typer.Option("--provider")],
    input_usd: Annotated[str, typer.Option("--input", help="Dollars per million tokens.")],
    output_usd: Annotated[str, typer.Option("--output-price", help="Dollars per million tokens.")],
    cached: Annotated[str, typer.Option("--cached", help="Dollars per million cached input tokens.")] = "",
    since: Annotated[str, typer.Option("--from", help="From when on; now when left out.")] = "",
    source: Annotated[str, typer.Option("--source", help="Who says so: an address.")] = "",
) -> None:
    """A new price from a moment on. Old calls keep theirs; optyx reprice reckons a period anew."""
    run = current()
    body = {
        "model": model,
        "provider": provider,
        "input_usd": input_usd.removeprefix("$"),
        "output_usd": output_usd.removeprefix("$"),
    }
    for name, value in (("cached_input_usd", cached.removeprefix("$")), ("effective_from", since), ("source", source)):
        if value:
            body[name] = value
    run.confirm(
        f"{model} of {provider} costs ${body['input_usd']} in and ${body['output_usd']} out per million tokens, from {since or 'now'}"
    )
    made = run.change("POST", "/prices", body).body
    run.done(f"Price {made.get('id', '')} holds from {absolute(made.get('effective_from'))}.")
