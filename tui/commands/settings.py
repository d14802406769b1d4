"""`optyx settings`: get, set, edit, diff, preview, history, restore; and of the gateway as a whole: gateway."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui.columns import Column, ago, number, pick, words
from tui.faults import FINDINGS, Fault, usage
from tui.invocation import Invocation, current, path_of
from tui.setting_values import NAMES, OUTCOMES, changes_of, of_the_day, without_upkeep

settings = typer.Typer(
    no_args_is_help=True, help="What a project may do: default tier, targets, models, failover, capture, time zone."
)

DIFFERENCES = [Column("FIELD", "field"), Column("BEFORE", "before", words), Column("AFTER", "after", words)]
IMPACT = [
    Column("KEY", "key"), number("CALLS IN 24 H", "requests"), Column("OUTCOME", "outcome", lambda word: OUTCOMES.get(word, str(word))),
    Column("WHY", "reason"),
]  # fmt: skip
HISTORY = [number("VERSION", "version"), ago("WHEN", "at"), Column("BY", "by"), Column("CHANGE", "summary")]
Changes = Annotated[
    list[str],
    typer.Argument(metavar="PATH=VALUE…", help=f"One of {', '.join(NAMES)}, tiers.NAME; null: as the gateway has it."),
]


def _path(project: str, *rest: str) -> str:
    return path_of("projects", project, "settings", *rest)


@settings.command("get")
def get(path: Annotated[str, typer.Argument(metavar="[PATH]", help="One value alone.")] = "") -> None:
    """A project's settings."""
    run = current()
    told = run.get(_path(run.needed_project()))
    if path:
        if path.split(".")[0] not in told:
            raise Fault(f"there is no setting {path!r}", exit=5, code="not_found", hint=f"there are {', '.join(NAMES)}")
        value = pick(told, path)
        if run.out.is_for_people:
            run.out.line(words(value))
        else:
            run.out.document(value)
        return
    run.show(
        told,
        [Column(name.replace("_", " "), name, _set) for name in NAMES]
        + [number("version", "version"), ago("changed", "updated_at"), Column("by", "updated_by")],
        "version",
    )


def _set(value: Any) -> str:
    return "as the gateway has it" if value is None else "none" if value == [] else words(value)


def _preview(run: Invocation, project: str, changes: dict[str, Any]) -> dict[str, Any]:
    return dict(run.ask("POST", f"{_path(project)}:preview", body=changes).body)


def _show_preview(run: Invocation, told: dict[str, Any]) -> None:
    for one in told["problems"]:
        run.done(f"{one['field']}: {one['message']}")
    run.list(told["differences"], DIFFERENCES, "field", "Nothing would change.")
    if told["impact"]:
        run.out.line("")
        run.list(told["impact"], IMPACT, "key")
    run.done(f"{_of_the_day(told)}.")


def _of_the_day(told: dict[str, Any]) -> str:
    """Of a gateway that is older, too: it counts refusals alone."""
    return of_the_day(told["refused"], told.get("no_fallback", 0), told.get("elsewhere", 0), told["examined"])


@settings.command("preview")
def preview(changes: Changes) -> None:
    """What a change would do, and which calls of the last 24 h it would have refused or sent elsewhere. Nothing is changed; exit status 7 when
    it can't be."""
    run = current()
    told = _preview(run, run.needed_project(), changes_of(changes))
    if run.out.is_for_people:
        _show_preview(run, told)
    else:
        run.out.document(told)
    if told["problems"]:
        raise typer.Exit(7)


@settings.command("diff")
def diff(changes: Changes) -> None:
    """What a change would change; exit status 9 when it would change something."""
    run = current()
    told = _preview(run, run.needed_project(), changes_of(changes))
    run.list(told["differences"], DIFFERENCES, "field", "Nothing would change.")
    if told["differences"]:
        raise typer.Exit(FINDINGS)


@settings.command("set")
def set_values(
    changes: Changes,
    if_version: Annotated[
        int | None, typer.Option("--if-version", help="Only if this is still the version there.")
    ] = None,
) -> None:
    """Change settings: the difference and its effect are shown first."""
    run = current()
    project = run.needed_project()
    save(run, project, changes_of(changes), if_version)


def save(run: Invocation, project: str, changes: dict[str, Any], if_version: int | None = None) -> None:
    told = _preview(run, project, changes)
    if told["problems"]:
        first = told["problems"][0]
        raise Fault(
            f"{first['field']}: {first['message']}", exit=7, code="invalid_request", field=first["field"], status=422
        )
    if not told["differences"]:
        run.done("Nothing to change.")
        return
    effect = "; ".join(
        f"{one['field']}: {words(one['before'])} becomes {words(one['after'])}" for one in told["differences"]
    )
    run.confirm(f"{project}: {effect}. {_of_the_day(told)}")
    etag = f'"{if_version}"' if if_version is not None else ""
    saved = run.change("PATCH", _path(project), changes, etag=etag).body
    run.done(f"Saved as version {saved.get('version', '')}.", "optyx undo")


@settings.command("edit")
def edit() -> None:
    """Edit them as YAML in $EDITOR; what changed is shown before it is saved."""
    import yaml

    from tui.editing import edited

    run = current()
    project = run.needed_project()
    run.allow_change()
    answer = run.ask("GET", _path(project))
    before = without_upkeep(answer.body)
    text = edited(run, yaml.safe_dump(before, sort_keys=False, allow_unicode=True), f"settings of {project}")
    try:
        after = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise usage(f"what was written is no YAML: {error}") from None
    if not isinstance(after, dict) or set(after) - set(before):
        raise usage(f"what was written are no settings; there are {', '.join(before)}")
    changes = {name: value for name, value in after.items() if value != before.get(name)}
    save(run, project, changes, int(answer.body["version"]))


@settings.command("history")
def history() -> None:
    """Every version: when, by whom, what."""
    run = current()
    run.list(run.rows(_path(run.needed_project(), "history")), HISTORY, "version")


@settings.command("restore")
def restore(version: Annotated[int, typer.Argument(help="Of the history.")]) -> None:
    """Take an old version as a new one."""
    run = current()
    project = run.needed_project()
    run.confirm(f"{project}: the settings of version {version} become the current ones{_moves(run, project, version)}")
    run.change("POST", f"/projects/{project}/settings:restore", {"version": version})
    run.done(f"Version {version} is restored, as a new version.", "optyx undo")


def _moves(run: Invocation, project: str, version: int) -> str:
    """What differs from today, in the form `; failover: yes becomes no`."""
    kept = next((one for one in run.every(_path(project, "history")) if one["version"] == version), None)
    now = run.get(_path(project))
    moved = [] if kept is None else [name for name in NAMES if kept["values"].get(name) != now.get(name)]
    return "".join(
        f"; {name}: {words(now.get(name))} becomes {words(kept['values'].get(name))}" for name in moved if kept
    )


@settings.command("gateway")
def gateway(changes: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]…")] = None) -> None:
    """Settings of the gateway as a whole; with NAME=VALUE they are changed."""
    run = current()
    if not changes:
        told = run.get("/settings")
        run.show(told, [Column(name.replace("_", " "), name) for name in told], "version")
        return
    run.confirm(f"the gateway's settings change: {', '.join(changes)}")
    run.change("PATCH", "/settings", changes_of(changes, known=None))
    run.done("Saved.")
