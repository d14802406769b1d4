"""`optyx ctx`, `login`, `logout`, `whoami`: which gateways there are, and who I am there."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from tui import contexts
from tui.columns import Column
from tui.faults import Fault, usage
from tui.invocation import current

ctx = typer.Typer(no_args_is_help=True, help="Gateways by name: list, use, add, edit, rename, remove, export.")
login = typer.Typer()
logout = typer.Typer()
whoami = typer.Typer()

COLUMNS = [
    Column("CURRENT", "current", lambda on: "*" if on else ""),
    Column("NAME", "name"),
    Column("URL", "url"),
    Column("PROJECT", "project"),
    Column("READONLY", "readonly"),
    Column("GUARDED", "guarded"),
    Column("TOKEN", "token", lambda source: str(source).partition(":")[0] or "–", wide=True),
]
Name = Annotated[str, typer.Argument(help="The context.")]


def _row(book: contexts.Book, name: str) -> dict[str, Any]:
    one = book.contexts[name]
    plain = {"url": "", "project": "", "readonly": False, "guarded": False, "token": ""}
    return {"name": name, "current": name == book.current, **plain, **one}


@ctx.command("list")
def list_contexts() -> None:
    """Every context, the current one marked."""
    book = contexts.read()
    rows = [_row(book, name) for name in book.contexts]
    current().list(
        rows, COLUMNS, "name", "No contexts yet. optyx ctx add NAME --url URL; without one, credentials.json is used."
    )


@ctx.command("current")
def current_context() -> None:
    """The name of the context in use."""
    run = current()
    run.show({"name": run.place.context, "url": run.place.url}, [Column("name", "name"), Column("url", "url")], "name")


@ctx.command("use")
def use(name: Name) -> None:
    """Make a context the current one. For one shell alone: export OPTYX_CONTEXT=NAME."""
    book = contexts.read()
    book.context(name)
    book.current = name
    contexts.write(book)
    current().done(f"Now using {name}.")


@ctx.command("add")
def add(
    name: Name,
    token: Annotated[
        str, typer.Option("--token-source", help="keyring:NAME, file:PATH, env:NAME or cmd:COMMAND.")
    ] = "",
    readonly: Annotated[bool, typer.Option("--readonly", help="Refuse every change through it.")] = False,
    guarded: Annotated[bool, typer.Option("--guarded", help="Ask for its name before changes.")] = False,
    ca: Annotated[str, typer.Option("--ca", help="A file of certificates to trust.")] = "",
) -> None:
    """A new context: --url is its gateway, -p its project. The token itself is never given here: --token-source says where it is."""
    run = current()
    url, project = run.flags.url, run.flags.project
    if not contexts.NAME.fullmatch(name):
        raise usage(f"{name!r} can't be a context's name", "letters, digits, dot, dash and underscore, at most 64")
    if not url:
        raise usage("a context needs its gateway's address", f"optyx ctx add {name} --url https://gateway.example.com")
    if token and token.partition(":")[0] not in ("keyring", "file", "env", "cmd"):
        raise usage("--token-source is keyring:, file:, env: or cmd:, and never the token itself")
    book = contexts.read()
    if name in book.contexts:
        raise Fault(f"there is a context {name} already", exit=6, code="exists", hint=f"optyx ctx edit {name}")
    given = {
        "url": contexts.checked_url(url),
        "project": project,
        "token": token,
        "readonly": readonly,
        "guarded": guarded,
        "ca": ca,
    }
    book.contexts[name] = {key: value for key, value in given.items() if value}
    book.current = book.current or name
    contexts.write(book)
    more = "it is the current one now" if book.current == name else f"optyx ctx use {name} makes it the current one"
    run.done(f"Added {name}; {more}.")


@ctx.command("edit")
def edit(
    name: Name,
    token: Annotated[str | None, typer.Option("--token-source")] = None,
    readonly: Annotated[bool | None, typer.Option("--readonly/--no-readonly")] = None,
    guarded: Annotated[bool | None, typer.Option("--guarded/--no-guarded")] = None,
    ca: Annotated[str | None, typer.Option("--ca")] = None,
) -> None:
    """Change a context; --url and -p give it another address and project. An empty value takes one away."""
    run = current()
    project = run.flags.project if "project" in run.flags.given else None
    book = contexts.read()
    one = book.context(name)
    url = contexts.checked_url(run.flags.url) if run.flags.url else None
    given = {"url": url, "project": project, "token": token, "readonly": readonly, "guarded": guarded, "ca": ca}
    for key, value in given.items():
        if value is not None:
            one[key] = value
    book.contexts[name] = {key: value for key, value in one.items() if value}
    contexts.write(book)
    run.done(f"Changed {name}.")


@ctx.command("rename")
def rename(name: Name, new: Annotated[str, typer.Argument(help="Its new name.")]) -> None:
    """Another name for a context."""
    book = contexts.read()
    book.context(name)
    if new in book.contexts or not contexts.NAME.fullmatch(new):
        raise usage(
            f"{new!r} can't be its name: it is taken, or has other characters than letters, digits, dot, dash, underscore"
        )
    one = book.contexts[name]
    source = one.get("token", "")
    if source:
        one["token"] = contexts.keep_as(name, new, source)
    book.contexts = {(new if key == name else key): value for key, value in book.contexts.items()}
    book.current = new if book.current == name else book.current
    contexts.write(book)
    contexts.forget(name, source)
    current().done(f"{name} is now {new}.")


@ctx.command("remove")
def remove(name: Name) -> None:
    """Forget a context, and the token that `login` kept for it. Nothing happens to its gateway."""
    book = contexts.read()
    source = book.context(name).get("token", "")
    del book.contexts[name]
    book.current = "" if book.current == name else book.current
    contexts.write(book)
    contexts.forget(name, source)
    current().done(f"Removed {name}.")


@ctx.command("export")
def export(
    no_secrets: Annotated[
        bool, typer.Option("--no-secrets/--with-token-sources", help="Without where tokens are.")
    ] = True,
) -> None:
    """The contexts as a document for somebody else. Tokens are never in it, nor, as it comes, where they are kept."""
    book = contexts.read()
    shown = {
        name: {key: value for key, value in one.items() if not (no_secrets and key in ("token", "proxy"))}
        for name, one in book.contexts.items()
    }
    current().out.document({"contexts": shown})


@ctx.command("shell")
def shell(name: Name) -> None:
    """A line for `eval` that makes this shell alone use a context."""
    contexts.read().context(name)
    current().out.write(f"export OPTYX_CONTEXT={shlex.quote(name)}")


@login.command()
def login_command(
    url: Annotated[str, typer.Argument(help="The gateway's address.")] = "",
    name: Annotated[str, typer.Option("--name", help="The context to make or renew.")] = "",
    store: Annotated[str, typer.Option("--store", help="Where the token is kept: file (0600) or keyring.")] = "file",
) -> None:
    """Sign in: the admin token is typed unseen or read from stdin, tried, and kept for a context."""
    run = current()
    book = contexts.read()
    name = name or run.flags.context or "default"
    address = url or run.flags.url or book.contexts.get(name, {}).get("url", "")
    if not address:
        raise usage("which gateway?", "optyx login https://gateway.example.com")
    if store not in ("file", "keyring"):
        raise usage(f"--store {store}: it is file or keyring")
    token = run.secret_from_stdin("Admin token")
    run.use(
        contexts.Place(name, contexts.checked_url(address), ca=book.contexts.get(name, {}).get("ca", ""), _token=token)
    )
    who = run.get("/whoami")
    old = book.contexts.get(name, {})
    book.contexts[name] = {**old, "url": contexts.checked_url(address), "token": contexts.keep(name, token, store)}
    book.current = name
    contexts.write(book)
    run.done(f"Signed in to {address} as {who.get('name')} ({who.get('role')}); context {name} is the current one.")


@logout.command()
def logout_command(
    name: Annotated[str, typer.Argument(help="The context; the current one when left out.")] = "",
) -> None:
    """Forget a context's token. The token itself stays valid: optyx tokens revoke ends it."""
    run = current()
    book = contexts.read()
    name = name or run.flags.context or book.current
    if not name:
        raise usage("no context is signed in", "credentials.json of a local gateway is left alone")
    source = book.context(name).pop("token", "")
    contexts.forget(name, source)
    contexts.write(book)
    run.done(f"Signed out of {name}.")


WHO = [
    Column("name", "name"), Column("role", "role"), Column("context", "context"), Column("gateway", "url"),
    Column("version", "version"), Column("timezone", "timezone"), Column("token", "token_source"),
]  # fmt: skip


@whoami.command()
def whoami_command() -> None:
    """Who the admin token is, with which role, at which gateway."""
    run = current()
    who = run.get("/whoami")
    here = {"context": run.place.context, "url": run.place.url, "token_source": run.place.sources.get("token", "")}
    run.show({**who, **here}, WHO, "name")
