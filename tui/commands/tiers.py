"""`optyx tiers`: list, get, set."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui.columns import Column
from tui.faults import Fault
from tui.invocation import Invocation, current, path_of
from tui.setting_values import targets_of

tiers = typer.Typer(no_args_is_help=True, help="Names for ordered lists of targets: fast, smart, embedding.")


def shown(targets: list[dict[str, Any]] | None) -> str:
    return " > ".join(f"{one['provider']}/{one['model']}" for one in targets or []) or "none"


def asked(tier: dict[str, Any]) -> str:
    """Who is asked, in order: a demo's sandbox before everybody."""
    first = tier.get("stand_in")
    return (f"{first['provider']}/{first['model']} (demo) > " if first else "") + shown(tier["targets"])


COLUMNS = [Column("TIER", "name"), Column("MODE", "mode"), Column("TARGETS, FIRST CHOICE FIRST", ".", asked)]


@tiers.command("list")
def list_tiers() -> None:
    """Every tier and where its calls go."""
    run = current()
    run.list(run.get("/tiers")["data"], COLUMNS, "name")


def found(run: Invocation, name: str) -> dict[str, Any]:
    for one in run.get("/tiers")["data"]:
        if one["name"] == name:
            return dict(one)
    raise Fault(f"there is no tier {name!r}", exit=5, code="not_found", hint="optyx tiers list")


@tiers.command("get")
def get(tier: str) -> None:
    """One tier."""
    run = current()
    run.show(found(run, tier), COLUMNS, "name")


@tiers.command("set")
def set_tier(
    tier: str,
    targets: Annotated[list[str], typer.Argument(metavar="PROVIDER/MODEL…", help="First choice first.")],
) -> None:
    """Where calls of a tier go, for every project without targets of its own."""
    run = current()
    before = found(run, tier)
    wanted = [one for text in targets for one in targets_of(text)]
    if [(one["provider"], one["model"]) for one in before["targets"]] == [
        (one["provider"], one["model"]) for one in wanted
    ]:
        run.done("Nothing to change.")
        return
    run.confirm(f"{tier}: {shown(before['targets'])} becomes {shown(wanted)}")
    run.change("PUT", path_of("tiers", tier), {"targets": wanted})
    run.done(f"Calls of {tier} go to {shown(wanted)}.", "optyx undo")
