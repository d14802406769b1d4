"""What a gateway that is there says of itself: is it ready, are its providers, models, prices and tiers in order, do its sums add up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tui import clock, figures
from tui.checks.finding import Finding, ok, problem, skipped
from tui.checks.services import no_provider
from tui.faults import Fault
from tui.invocation import Invocation, path_of

STALE_PRICES_S = 30 * 86_400.0
UNABLE = ("missing", "can't be opened")
"""What the gateway says of a credential it does not have."""


def gateway(run: Invocation, is_there: bool) -> Iterator[Finding]:
    """What the gateway says of itself: readiness, providers and their credentials, circuits, prices."""
    if not is_there:
        return
    yield from _ready(run)
    sandbox = _live_sandbox(run)
    yield from _providers(run, sandbox)
    yield from _models(run)
    yield from _prices(run)
    yield from _workers(run)
    if sandbox:  # it stands first in every tier, without being written there
        yield ok("gateway", "tiers", "The sandbox answers for every tier.")
    else:
        yield from _tiers(run)
    yield from _usage(run)


def _ready(run: Invocation) -> Iterator[Finding]:
    try:
        told = run.get("/health/ready")
    except Fault as fault:
        yield problem(
            "gateway",
            "ready",
            f"The gateway can't serve: {fault.message}",
            "Calls are refused.",
            "Its log says more; it starts again by itself when what it misses is back.",
        )
        return
    for name, state in told.get("components", {}).items():
        if state != "ok":
            fix = {"database": "Start Postgres; the gateway connects again by itself."}.get(
                name, "It mends itself when Postgres is back; the gateway's log says more."
            )
            yield problem(
                "gateway",
                name,
                f"{name.capitalize()}: {state}.",
                "The gateway goes on with what it knows; records wait on its disk.",
                fix,
            )
    if told.get("status") == "ready":
        yield ok("gateway", "ready", "The gateway is ready.")


def _live_sandbox(run: Invocation) -> str:
    """Its name when it runs: `optyx demo` starts one, every other gateway has the row alone."""
    try:
        for one in run.get("/providers")["data"]:
            if one.get("is_sandbox") and one.get("enabled"):
                return (
                    str(one["name"])
                    if run.ask("POST", path_of("providers", one["name"], "test"), body={}).body["ok"]
                    else ""
                )
    except Fault:
        pass  # a viewer may not test; what follows says so of each provider
    return ""


def _providers(run: Invocation, sandbox: str) -> Iterator[Finding]:
    try:
        there: list[dict[str, Any]] = [
            one
            for one in run.get("/providers")["data"]
            if one.get("enabled") and (one["name"] == sandbox or not one.get("is_sandbox"))
        ]
    except Fault as fault:
        yield skipped("gateway", "providers", f"Providers can't be listed: {fault.message}")
        return
    able = [one for one in there if one.get("credential_state") not in UNABLE]
    if not able:
        yield no_provider()
        return
    for one in able:
        yield from _tried(run, one)
        if one.get("circuit") == "open":
            yield problem(
                "gateway", "circuit", f"The circuit of {one['name']} is open: {one.get('last_error') or one.get('failures')}.",
                "No call goes to it; tiers use their next target.",
                f"optyx providers test {one['name']}; optyx providers circuit close {one['name']}",
            )  # fmt: skip


def _tried(run: Invocation, one: dict[str, Any]) -> Iterator[Finding]:
    """Asks the provider for its list of models, through the gateway: costs nothing, and proves the credential."""
    if one.get("is_sandbox"):
        yield ok("gateway", "provider " + one["name"], f"{one['name']} is the sandbox: its answers are invented.")
        return
    try:
        told = run.ask("POST", path_of("providers", one["name"], "test"), body={}).body
    except Fault as fault:
        yield skipped("gateway", "provider " + one["name"], f"{one['name']} can't be tested: {fault.message}")
        return
    failed = next((step for step in told["steps"] if step["state"] == "failed"), None)
    if failed is None:
        yield ok("gateway", "provider " + one["name"], f"{one['name']} answers, and takes the credential.")
        return
    variable = str(one.get("credential", "")).removeprefix("env:")
    if failed["name"] in ("auth", "credential", "models") and any(
        word in failed["detail"] for word in ("401", "403", "credential")
    ):
        how = (
            f"Correct {variable} and start the gateway again"
            if str(one.get("credential", "")).startswith("env:")
            else f"optyx providers credential rotate {one['name']}"
        )
        yield problem(
            "gateway",
            "provider " + one["name"],
            f"{one['name']} refuses the credential: {failed['detail']}.",
            "Every call to it fails; tiers go to their next target.",
            how,
        )
    else:
        yield problem(
            "gateway", "provider " + one["name"], f"{one['name']} fails at {failed['name']}: {failed['detail']}.",
            "Calls to it fail; tiers go to their next target.",
            f"optyx providers test {one['name']} shows every step; its address is {one.get('base_url')}",
        )  # fmt: skip


def _models(run: Invocation) -> Iterator[Finding]:
    try:
        unpriced = [
            one["id"]
            for one in run.every("/models")
            if one.get("enabled") and one.get("input_nusd") is None and not one.get("is_free")
        ]
    except Fault as fault:
        yield skipped("gateway", "prices", f"Models can't be listed: {fault.message}")
        return
    if unpriced:
        yield problem(
            "gateway", "prices", f"{len(unpriced)} enabled models have no price: {', '.join(unpriced[:5])}{' …' if len(unpriced) > 5 else ''}.",
            "Their calls cost nothing in the books, and keys with a budget can't use them.",
            "optyx prices add MODEL --provider NAME --input USD --output-price USD",
        )  # fmt: skip
    else:
        yield ok("gateway", "prices", "Every enabled model has a price.")


def _prices(run: Invocation) -> Iterator[Finding]:
    try:
        read_at = figures.parsed(run.get("/overview").get("price_table_at"))
    except Fault as fault:
        yield skipped("gateway", "price table", f"It can't be looked at: {fault.message}")
        return
    if read_at is not None and clock.now() - read_at.timestamp() > STALE_PRICES_S:
        yield problem(
            "gateway", "price table", f"The newest price is of {read_at:%Y-%m-%d}.", "Providers change their prices: costs and budgets may be wrong.",
            "optyx prices add MODEL --provider NAME …, or optyx seed of a newer release; then optyx reprice",
        )  # fmt: skip
    elif read_at is not None:
        yield ok("gateway", "price table", f"The newest price is of {read_at:%Y-%m-%d}.")


def _workers(run: Invocation) -> Iterator[Finding]:
    """What the gateway itself says needs somebody, of its own running: workers of several versions, records that wait or were cleaned."""
    try:
        told = run.get("/attention")["data"]
    except Fault as fault:
        yield skipped("gateway", "attention", f"It can't be looked at: {fault.message}")
        return
    for one in told:
        if one["screen"] not in ("overview", "audit") or one["object"]:
            continue
        detail = f" ({one['detail']})" if one["detail"] else ""
        yield problem(
            "gateway", "attention", f"{one['title'][:1].upper()}{one['title'][1:]}{detail}.", "The gateway itself asks for somebody.",
            "optyx-tui leads to it from its first screen; the gateway's log says more",
        )  # fmt: skip


def _tiers(run: Invocation) -> Iterator[Finding]:
    """A tier whose targets are all out answers nobody."""
    try:
        out = {
            one["name"]
            for one in run.get("/providers")["data"]
            if not one["enabled"] or one.get("credential_state") in UNABLE
        }
        tiers = run.get("/tiers")["data"]
    except Fault as fault:
        yield skipped("gateway", "tiers", f"Tiers can't be listed: {fault.message}")
        return
    dead = [one["name"] for one in tiers if all(target["provider"] in out for target in one["targets"])]
    for name in dead:
        targets = (
            ", ".join(sorted({target["provider"] for one in tiers if one["name"] == name for target in one["targets"]}))
            or "none"
        )
        yield problem(
            "gateway", f"tier {name}", f"No target of the tier {name} can be called (providers: {targets}).", "Its calls get 503.",
            f"Give one of them a credential, or: optyx tiers set {name} PROVIDER/MODEL",
        )  # fmt: skip
    if not dead:
        yield ok("gateway", "tiers", "Every tier has a target that can be called.")


def _usage(run: Invocation) -> Iterator[Finding]:
    """The days of a week must add up to the week."""
    try:
        told = run.get("/usage", group_by="day", since="7d")
    except Fault as fault:
        yield skipped("gateway", "usage", f"Usage can't be asked for: {fault.message}")
        return
    days, total = sum(one["cost_nusd"] for one in told["data"]), told["total"]["cost_nusd"]
    if days == total:
        yield ok("gateway", "usage", f"The last days add up to their total; days begin in {told.get('timezone')}.")
    else:
        yield problem(
            "gateway", "usage", f"The last days don't add up: {days} against {total} nano-USD.", "Reports and bills disagree.",
            "optyx audit says which sums are wrong",
        )  # fmt: skip
