"""`optyx providers`: list, get, add, update, test, enable, disable, drain, circuit, credential, remove."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui import figures
from tui.columns import Column, ago, number, state
from tui.faults import Fault, usage
from tui.invocation import Invocation, current, path_of

providers = typer.Typer(no_args_is_help=True, help="Upstream accounts: their addresses, credentials and health.")
circuit = typer.Typer(no_args_is_help=True, help="Whether calls go to a provider at all.")
credential = typer.Typer(no_args_is_help=True, help="Credentials go in over stdin, and never come out.")
providers.add_typer(circuit, name="circuit")
providers.add_typer(credential, name="credential")

COLUMNS = [
    Column("PROVIDER", "name"), Column("KIND", "kind"), state("STATE", "state"), Column("CREDENTIAL", "credential"),
    state("CHECKED", "credential_state"), state("CIRCUIT", "circuit"),
    number("ERRORS", "error_share", lambda share: figures.NONE if share is None else f"{figures.percent(share)}%"),
    number("P50", "latency_p50_ms", figures.duration), number("P95", "latency_p95_ms", figures.duration),
    number("MODELS", "models"), Column("ADDRESS", "base_url", wide=True), Column("LAST ERROR", "last_error", wide=True),
    Column("ID", "id", wide=True),
]  # fmt: skip
DETAIL = [
    Column("provider", "name"), Column("id", "id"), Column("kind", "kind"), state("state", "state"), Column("address", "base_url"),
    Column("credential", "credential"), Column("credential is", "credential_state"), state("circuit", "circuit"),
    Column("failures", "failures"), Column("last error", "last_error"), ago("at", "last_error_at"), number("models", "models"),
    Column("timeouts", "timeouts"), Column("when a client leaves", "on_disconnect"),
    Column("what that means", "effect", lambda lines: "; ".join(lines or [])),
]  # fmt: skip
Which = Annotated[str, typer.Argument(metavar="PROVIDER", help="Its name or id.")]


@providers.command("list")
def list_providers() -> None:
    """Every provider and how it is."""
    run = current()
    run.list(run.get("/providers")["data"], COLUMNS, "name", "No providers: optyx seed writes the usual ones.")


def found(run: Invocation, name: str) -> dict[str, Any]:
    for one in run.get("/providers")["data"]:
        if name in (one["name"], one["id"]):
            return dict(one)
    raise Fault(f"there is no provider {name!r}", exit=5, code="not_found", hint="optyx providers list")


@providers.command("get")
def get(provider: Which) -> None:
    """One provider."""
    run = current()
    run.show(found(run, provider), DETAIL, "name")


@providers.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What tiers call it.")],
    kind: Annotated[
        str, typer.Option("--kind", help="openai (and everything compatible), google or anthropic.")
    ] = "openai",
    base_url: Annotated[str, typer.Option("--base-url", help="Its address.")] = "",
    source: Annotated[
        str, typer.Option("--credential-source", help="env:NAME or none; without it the credential is read from stdin.")
    ] = "",
) -> None:
    """A new provider. Its credential comes over stdin, or from a variable of the gateway's environment."""
    run = current()
    if not base_url:
        raise usage("where is it?", "--base-url https://…/v1")
    body: dict[str, Any] = {"name": name, "kind": kind, "base_url": base_url}
    if source:
        body["credential_source"] = source
    else:
        body["credential"] = run.secret_from_stdin(f"Credential of {name}")
    made = run.change("POST", "/providers", body).body
    run.done(f"Added {made['name']}. Try it: optyx providers test {made['name']}")


@providers.command("update")
def update(
    provider: Which,
    base_url: Annotated[str, typer.Option("--base-url")] = "",
    timeout: Annotated[
        list[str] | None,
        typer.Option(
            "--set-timeout", help="NAME=MILLISECONDS: connect_ms, first_byte_ms, idle_ms, whole_ms, total_ms."
        ),
    ] = None,
) -> None:
    """Another address, other timeouts."""
    run = current()
    body: dict[str, Any] = {"base_url": base_url} if base_url else {}
    if timeout:
        pairs = dict(one.partition("=")[::2] for one in timeout)
        if not all(value.isdigit() for value in pairs.values()):
            raise usage("--set-timeout is NAME=MILLISECONDS", "like connect_ms=5000")
        body["timeouts"] = {name: int(value) for name, value in pairs.items()}
    if not body:
        raise usage("what is to change?", "--base-url or --set-timeout")
    run.confirm(f"{provider} changes: {', '.join(body)}")
    run.change("PATCH", path_of("providers", provider), body)
    run.done(f"Changed {provider}.")


@providers.command("remove")
def remove(provider: Which) -> None:
    """Delete a provider that no tier uses."""
    run = current()
    one = found(run, provider)
    run.confirm(f"{one['name']} is deleted, with its models and credential", typed=one["name"], is_final=True)
    run.change("DELETE", path_of("providers", one["name"]))
    run.done(f"Deleted {one['name']}.")


@providers.command("test")
def try_provider(
    provider: Annotated[str, typer.Argument(metavar="[PROVIDER]")] = "",
    every: Annotated[bool, typer.Option("--every", help="All of them that are enabled.")] = False,
    chat: Annotated[bool, typer.Option("--chat", help="Ask for one token too; it costs a little.")] = False,
    steps: Annotated[bool, typer.Option("--steps", hidden=True)] = True,
) -> None:
    """Name, connection, TLS, credential, models, each step told when it is done. Exit status 9 when a step fails."""
    from tui import trying

    run = current()
    names = (
        [one["name"] for one in run.get("/providers")["data"] if one["enabled"]]
        if every or run.flags.limit < 0
        else [provider]
    )
    if not any(names):
        raise usage("which provider?", "name it, or --all")
    trying.show(run, names, {"chat": True} if chat else {})


def _switch(provider: str, on: bool) -> None:
    run = current()
    one = found(run, provider)
    if not on:
        run.confirm(f"no call goes to {one['name']} any more. {'; '.join(one.get('effect') or [])}".strip())
    run.change("PATCH", path_of("providers", one["name"]), {"enabled": on})
    run.done(
        f"{'Enabled' if on else 'Disabled'} {one['name']}.",
        f"optyx providers {'disable' if on else 'enable'} {one['name']}",
    )


@providers.command("enable")
def enable(provider: Which) -> None:
    """Send calls to it again."""
    _switch(provider, True)


@providers.command("disable")
def disable(provider: Which) -> None:
    """Send no call to it; tiers go to their next target."""
    _switch(provider, False)


@providers.command("drain")
def drain(provider: Which) -> None:
    """The same as disable: calls under way end by themselves."""
    _switch(provider, False)


@circuit.command("close")
def close_circuit(provider: Which) -> None:
    """Let calls through again now, on every worker, instead of when the rest is over."""
    run = current()
    run.confirm(f"calls go to {provider} at once, whether it has recovered or not")
    run.change("POST", path_of("providers", provider, "circuit", "close"))
    run.done(f"The circuit of {provider} is closed.")


@circuit.command("open")
def open_circuit(provider: Which) -> None:
    """Keep calls from it: the same as disable, which also holds over restarts."""
    _switch(provider, False)


def _set_credential(provider: str, source: str) -> None:
    run = current()
    one = found(run, provider)
    body = (
        {"credential_source": source}
        if source
        else {"credential": run.secret_from_stdin(f"Credential of {one['name']}")}
    )
    run.change("PATCH", path_of("providers", one["name"]), body)
    run.done(f"{one['name']} uses {source or 'the credential that was given; it is stored encrypted'}.")


Source = Annotated[str, typer.Option("--source", help="env:NAME instead of a credential on stdin.")]


@credential.command("add")
def add_credential(provider: Which, source: Source = "") -> None:
    """Set a provider's credential: from stdin, typed unseen, or named by a variable."""
    _set_credential(provider, source)


@credential.command("rotate")
def rotate_credential(provider: Which, source: Source = "") -> None:
    """Another credential in place of the old one; calls under way end with the old one."""
    _set_credential(provider, source)


@credential.command("remove")
def remove_credential(provider: Which) -> None:
    """Forget it. Calls to this provider fail from then on."""
    run = current()
    one = found(run, provider)
    run.confirm(f"{one['name']} has no credential any more", typed=one["name"])
    run.change("PATCH", path_of("providers", one["name"]), {"credential_source": "none"})
    run.done(f"{one['name']} has no credential.")
