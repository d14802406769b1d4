"""What must be done so that a gateway is what a file says: the difference first, then the requests that remove it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tui.declared import Document
from tui.faults import usage
from tui.invocation import Invocation, path_of

ORDER = ("providers", "tiers", "orgs", "projects")
"""Targets name providers, projects name tiers: so it is done in this order, and what goes, goes last, backwards."""


@dataclass
class Request:
    method: str
    path: str
    body: Any = None


@dataclass
class Change:
    """`differences`: field, before, after. Applied by its requests, one after the other."""

    action: str
    kind: str
    name: str
    differences: list[Document] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def told(self) -> Document:
        return {"action": self.action, "kind": self.kind, "name": self.name, "differences": self.differences}


def changes(wanted: Document, there: Document, prune: bool) -> list[Change]:
    """In the order in which they can be done."""
    made = []
    differences = _different(wanted.get("settings", {}), there.get("settings", {}))
    if differences:
        body = {one["field"]: one["after"] for one in differences}
        made.append(Change("update", "settings", "gateway", differences, [Request("PATCH", "/settings", body)]))
    for section in ORDER:
        for name, one in wanted.get(section, {}).items():
            before = there.get(section, {}).get(name)
            change = {"providers": _provider, "tiers": _tier, "orgs": _org, "projects": _project}[section](
                name, one, before
            )
            if change.requests:
                made.append(change)
    return made + (list(_pruned(wanted, there)) if prune else [])


def _different(one: Document, before: Document | None, prefix: str = "") -> list[Document]:
    found = []
    for name, value in one.items():
        old = None if before is None else before.get(name)
        if name in ("settings", "limits") and isinstance(value, dict):
            found += _different(value, old, f"{prefix}{name}.")
        elif value != old:
            found.append({"field": prefix + name, "before": old, "after": value})
    return found


def _provider(name: str, one: Document, before: Document | None) -> Change:
    differences = _different(one, before)
    if before is None:
        return Change("create", "provider", name, differences, [Request("POST", "/providers", {"name": name, **one})])
    changed = {item["field"]: item["after"] for item in differences}
    if "kind" in changed:
        raise usage(
            f"the provider {name} is of kind {before['kind']}, for ever", "make another provider", "kind_is_fixed"
        )
    return Change(
        "update",
        "provider",
        name,
        differences,
        [Request("PATCH", path_of("providers", name), changed)] if differences else [],
    )


def _tier(name: str, targets: Any, before: Any) -> Change:
    if targets == before:
        return Change("update", "tier", name)
    difference = {"field": "targets", "before": before, "after": targets}
    return Change(
        "update" if before is not None else "create",
        "tier",
        name,
        [difference],
        [Request("PUT", path_of("tiers", name), {"targets": targets})],
    )


def _org(name: str, one: Document, before: Document | None) -> Change:
    return _with_limits(
        Change("update", "org", name, _different(one, before)), "orgs", name, one, before, ("name", "timezone")
    )


def _project(name: str, one: Document, before: Document | None) -> Change:
    change = Change("update" if before is not None else "create", "project", name, _different(one, before))
    if before is None:
        change.requests.append(Request("POST", "/projects", {"name": one.get("name", name), "slug": name}))
    settings, old = one.get("settings") or {}, (before or {}).get("settings") or {}
    changed = {key: value for key, value in settings.items() if value != old.get(key)}
    if before is None:  # a new project has the gateway's own values
        changed = {
            key: value
            for key, value in changed.items()
            if not (value is None or (key, value) in (("failover", True), ("capture", False)))
        }
    if changed:
        change.requests.append(Request("PATCH", path_of("projects", name, "settings"), changed))
    return _with_limits(change, "projects", name, one, before, ("name",) if before is not None else ())


def _with_limits(
    change: Change, plural: str, name: str, one: Document, before: Document | None, fields: tuple[str, ...]
) -> Change:
    own = {key: one[key] for key in fields if key in one and one[key] != (before or {}).get(key)}
    if own:
        change.requests.append(Request("PATCH", path_of(plural, name), own))
    limits = one.get("limits")
    if limits is not None and limits != (before or {}).get("limits"):
        change.requests.append(Request("PUT", path_of(plural, name, "limits"), _explicit(limits)))
    return change


def _explicit(limits: Document) -> Document:
    """Percentages that a budget does not have are null: left out, the gateway would keep the old ones."""
    budgets = [{"soft_percent": None, "downgrade_percent": None, **one} for one in limits["budgets"]]
    parts: Document = {
        part: {name: _explicit(one) for name, one in limits[part].items()}
        for part in ("models", "tiers")
        if part in limits
    }
    return {**limits, "budgets": budgets, **parts}


def _pruned(wanted: Document, there: Document) -> Iterator[Change]:
    """What the file doesn't name, in the sections it has: projects are archived, providers deleted. Tiers and orgs stay."""
    for name in there.get("projects", {}) if "projects" in wanted else ():
        if name not in wanted["projects"]:
            yield Change("archive", "project", name, [], [Request("POST", path_of("projects", name, "archive"))])
    for name in there.get("providers", {}) if "providers" in wanted else ():
        if name not in wanted["providers"]:
            yield Change("delete", "provider", name, [], [Request("DELETE", path_of("providers", name))])


def perform(run: Invocation, change: Change) -> None:
    for request in change.requests:
        run.change(request.method, request.path, request.body)
