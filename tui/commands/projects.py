"""`optyx projects`: list, get, create, update, archive, restore, delete."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui import figures
from tui.columns import Column, ago, models, money, number, state
from tui.faults import CONFLICT, Fault
from tui.invocation import Invocation, current, path_of

projects = typer.Typer(no_args_is_help=True, help="Who has keys, settings, limits and a bill of their own.")

COLUMNS = [
    Column("PROJECT", "slug"),
    Column("NAME", "name"),
    state("STATUS", "status"),
    Column("KEYS", "keys", lambda text: text),
    Column("TIER", "default_tier", wide=True),
    money("TODAY", "today_nusd"),
    money("MONTH", "month_nusd"),
    number("RPM", "rpm", wide=True),
    number("TPM", "tpm", wide=True),
    ago("LAST USED", "last_used_at"),
    ago("CREATED", "created_at", wide=True),
    Column("ID", "id", wide=True),
]
DETAIL = [
    Column("project", "slug"), Column("name", "name"), Column("id", "id"), state("status", "status"),
    Column("keys", "keys"), Column("default tier", "default_tier"), models("models"),
    money("spent today", "today_nusd"), money("spent this month", "month_nusd"), number("requests/min", "rpm"),
    number("tokens/min", "tpm"), number("concurrency", "concurrency"), ago("last used", "last_used_at"),
    ago("created", "created_at"), Column("created by", "created_by"),
]  # fmt: skip
Which = Annotated[str, typer.Argument(metavar="PROJECT", help="Its short name (slug) or id.")]


def with_keys(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "keys": f"{one.get('keys_usable', 0)} of {one.get('keys_total', 0)}"}


@projects.command("list")
def list_projects(
    archived: Annotated[bool, typer.Option("--archived", help="Also those that are archived.")] = False,
) -> None:
    """Every project with its keys and what it spent."""
    run = current()
    found = run.rows("/projects", **({"archived": True} if archived else {}))
    run.list([with_keys(one) for one in found], COLUMNS, "slug", "No projects yet: optyx projects create NAME")


@projects.command("get")
def get(project: Which) -> None:
    """One project."""
    run = current()
    run.show(with_keys(run.get(path_of("projects", project))), DETAIL, "slug")


@projects.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Its name; the slug is made of it.")],
    slug: Annotated[str, typer.Option("--slug", help="A short name of your own.")] = "",
    default_tier: Annotated[str, typer.Option("--default-tier", help="What calls without a model use.")] = "",
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="A model it may call; repeat it. None: all.")
    ] = None,
    budget: Annotated[
        list[str] | None, typer.Option("--budget", help="AMOUNT/WINDOW in dollars, like 500/1mo.")
    ] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=0, help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=0, help="Tokens a minute.")] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=0, help="Calls at once.")] = None,
    with_key: Annotated[
        str, typer.Option("--with-key", help="Also a key of this name, printed like `keys create` does.")
    ] = "",
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="Well if it is there already.")] = False,
) -> None:
    """A new project, with limits and a key if you like."""
    from tui.commands.limits import body_of

    run = current()
    there = (
        [one for one in run.every("/projects") if slug == one["slug"] or name in (one["name"], one["slug"])]
        if if_not_exists
        else []
    )
    if there:
        made = there[0]
        run.done(f"{made['slug']} is there already.")
    else:
        made = run.change("POST", "/projects", {"name": name, **({"slug": slug} if slug else {})}).body
        run.done(f"Created {made['slug']}.")
        _set_up(run, made["slug"], default_tier, allow, body_of(rpm, tpm, concurrency, budget))
    if with_key:
        from tui.commands.keys import hand_over_new

        hand_over_new(run, made["slug"], {"name": with_key})
    else:
        run.show(with_keys(made), DETAIL, "slug")


def _set_up(run: Invocation, slug: str, default_tier: str, allow: list[str] | None, limits: dict[str, Any]) -> None:
    settings: dict[str, Any] = {}
    if default_tier:
        settings["default_tier"] = default_tier
    if allow:
        settings["allowed_models"] = allow
    if settings:
        run.change("PATCH", path_of("projects", slug, "settings"), settings)
    if limits:
        run.change("PUT", path_of("projects", slug, "limits"), limits)


@projects.command("update")
def update(
    project: Which,
    name: Annotated[str, typer.Option("--name", help="Its new name; the slug stays.")],
) -> None:
    """Another name."""
    run = current()
    run.change("PATCH", path_of("projects", project), {"name": name})
    run.done(f"{project} is now called {name}.")


@projects.command("archive")
def archive(project: Which) -> None:
    """Its keys stop working; logs and bills stay."""
    run = current()
    one = run.get(path_of("projects", project))
    run.confirm(f"{one['name']}: {one.get('keys_usable', 0)} usable keys stop working", typed=one["slug"])
    run.change("POST", path_of("projects", project, "archive"))
    run.done(f"Archived {one['slug']}.", f"optyx projects restore {one['slug']}")


@projects.command("restore")
def restore(project: Which) -> None:
    """Take it out of the archive; its keys work again."""
    run = current()
    run.change("POST", path_of("projects", project, "restore"))
    run.done(f"Restored {project}.")


@projects.command("delete")
def delete(project: Which) -> None:
    """Delete a project for ever. What it spent stays in the books."""
    run = current()
    one = run.get(path_of("projects", project))
    effect = f"{one['name']} and its {figures.count(one.get('keys_total', 0))} keys are deleted for ever"
    run.confirm(effect, typed=one["slug"], is_final=True)
    try:
        run.change("DELETE", path_of("projects", project))
    except Fault as fault:
        if fault.exit == CONFLICT:
            fault.hint = f"optyx projects archive {one['slug']}"
        raise
    run.done(f"Deleted {one['slug']}.")
