"""`optyx plan`, `apply`, `export`: projects, tiers, limits, providers and settings as one file; the difference first, then the change."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from tui import declared, planning
from tui.columns import words
from tui.faults import FINDINGS, Fault, usage
from tui.invocation import Invocation, current
from tui.planning import Change

plan = typer.Typer()
apply = typer.Typer()
export = typer.Typer()

File = Annotated[str, typer.Option("--file", "-f", help="YAML or JSON; - for stdin.")]
Prune = Annotated[
    bool, typer.Option("--prune", help="Also archive projects and delete providers that the file doesn't name.")
]
SIGNS = {"create": "+", "update": "~", "archive": "-", "delete": "-"}


def _planned(run: Invocation, file: str, prune: bool) -> list[Change]:
    wanted = declared.read_file(file)
    return planning.changes(wanted, declared.read_gateway(run, set(wanted)), prune)


def _show(run: Invocation, changes: list[Change]) -> None:
    if not run.out.is_for_people:
        if run.out.format in ("json", "yaml"):
            run.out.document([one.told() for one in changes])
        else:
            run.list([one.told() for one in changes], [], "name")
        return
    for one in changes:
        run.out.line(f"{SIGNS[one.action]} {one.action} {one.kind} {one.name}")
        for difference in one.differences:
            run.out.line(f"    {difference['field']}: {_value(difference['before'])} -> {_value(difference['after'])}")


def _value(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict) and "provider" in value[0]:
        return " > ".join(f"{one['provider']}/{one['model']}" for one in value)
    return words(value)


@plan.command()
def plan_command(file: File, prune: Prune = False) -> None:
    """What apply would change. Exit status 9 when there is a difference, 0 when there is none."""
    run = current()
    changes = _planned(run, file, prune)
    _show(run, changes)
    run.done(f"{len(changes)} to change." if changes else "Nothing to change.")
    if changes:
        raise typer.Exit(FINDINGS)


@apply.command()
def apply_command(file: File, prune: Prune = False) -> None:
    """Make the gateway what the file says: shows the difference, asks, changes. Applied again, it changes nothing."""
    run = current()
    changes = _planned(run, file, prune)
    _show(run, changes)
    if not changes:
        run.done("Nothing to change.")
        return
    going = [one for one in changes if one.action in ("archive", "delete")]
    if going:
        run.confirm(f"{len(going)} go: {', '.join(one.name for one in going)}", typed=str(len(going)), is_final=True)
    else:
        run.confirm(f"{len(changes)} thing{'s' * (len(changes) != 1)} will be changed")
    if run.flags.dry_run:
        run.done("Nothing was changed: a dry run.")
        return
    for done, one in enumerate(changes):
        try:
            planning.perform(run, one)
        except Fault as fault:
            raise Fault(
                f"{one.kind} {one.name}: {fault.message} ({done} of {len(changes)} were changed before)",
                exit=fault.exit, code=fault.code, hint="mend the file and apply it again: what is done already is left alone",
                status=fault.status, field=fault.field, request_id=fault.request_id, retryable=fault.retryable,
            ) from None  # fmt: skip
    run.done(f"{len(changes)} changed.")


@export.command()
def export_command(
    nouns: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NOUN]…", help=f"{', '.join(declared.SECTIONS)}; all of them when left out."),
    ] = None,
    out: Annotated[str, typer.Option("--out", help="A new file; stdout when left out.")] = "",
) -> None:
    """The gateway as a file for plan and apply. No keys, no credentials."""
    run = current()
    unknown = [one for one in nouns or [] if one not in declared.SECTIONS]
    if unknown:
        raise usage(f"{unknown[0]} can't be exported", f"there are {', '.join(declared.SECTIONS)}")
    document = declared.short(declared.read_gateway(run, set(nouns or declared.SECTIONS)))
    if not out:
        run.out.plain_document(document)
        return
    import yaml

    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise Fault(f"{out} exists already: nothing was written", code="file_exists", hint="name a new file") from None
    with open(handle, "w", encoding="utf-8") as file:
        yaml.safe_dump(document, file, sort_keys=False, allow_unicode=True)
    run.done(f"Wrote {out}.")
