"""A gateway as one document: its settings, providers, tiers, orgs and projects with their settings and limits; read from a file, or from the gateway.

Both are brought to one shape, so that equal things are equal. A file may leave anything out: what it doesn't name stays as it is.
Keys are never in it: their secrets can't be, and one that nobody holds is of no use.
"""

from __future__ import annotations

import difflib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from tui.faults import Fault, usage
from tui.invocation import Invocation, path_of
from tui.setting_values import NAMES, UPKEEP, targets_of

Document = dict[str, Any]

SECTIONS = ("settings", "providers", "tiers", "orgs", "projects")
PROVIDER = (
    "kind",
    "base_url",
    "credential_source",
    "enabled",
    "timeouts",
    "max_connections",
    "on_disconnect",
    "position",
)
PROJECT = ("name", "settings", "limits")
ORG = ("name", "timezone", "limits")
LIMITS = ("rpm", "tpm", "concurrency", "budgets", "models", "tiers")
BUDGET = ("amount_usd", "window", "soft_percent", "downgrade_percent")


# From a file


def read_file(name: str) -> Document:
    """The file (or stdin, for `-`) in the one shape. Raises Fault naming the place that is wrong."""
    import sys

    import yaml

    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        found = yaml.safe_load(text)
    except OSError as error:
        raise usage(f"{name}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise usage(f"{name}: {' '.join(str(error).split())}", "it must be YAML, or JSON", "bad_file") from None
    return shaped(found or {}, name)


def shaped(found: Any, name: str) -> Document:
    _known(found, (*SECTIONS, "version"), name)
    made: Document = {}
    for section in SECTIONS:
        if section in found:
            if section == "settings":
                if not isinstance(found[section], dict):
                    raise _bad(f"{name}: {section}", "must be names with values")
                made[section] = dict(found[section])
                continue
            shape = {"providers": _provider, "tiers": targets, "orgs": _org, "projects": _project}[section]
            entries = found[section] or {}
            if not isinstance(entries, dict):
                raise _bad(f"{name}: {section}", "must be names with what each is")
            made[section] = {str(key): shape(value, f"{name}: {section}.{key}") for key, value in entries.items()}
    return made


def _known(value: Any, names: tuple[str, ...], place: str) -> None:
    if not isinstance(value, dict):
        raise _bad(place, f"must be a table with {', '.join(names)}")
    for key in value:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            raise _bad(
                f"{place}.{key}",
                f"is not known; {f'did you mean {near[0]}?' if near else 'there are ' + ', '.join(names)}",
            )


def _bad(place: str, what: str) -> Fault:
    return usage(f"{place} {what}", code="bad_file")


def targets(value: Any, place: str) -> list[dict[str, Any]]:
    """`provider/model`, or a table with timeouts."""
    if not isinstance(value, list):
        raise _bad(place, "must be a list of PROVIDER/MODEL")
    made = []
    for one in value:
        if isinstance(one, str):
            made += targets_of(one)
        else:
            _known(one, ("provider", "model", "timeouts"), place)
            if not (one.get("provider") and one.get("model")):
                raise _bad(place, "needs provider and model")
            made.append({name: part for name, part in one.items() if part is not None})
    return made


def _provider(value: Any, place: str) -> Document:
    _known(value, PROVIDER, place)
    return dict(value)


def _org(value: Any, place: str) -> Document:
    _known(value, ORG, place)
    made = dict(value)
    if "limits" in made:
        made["limits"] = limits(made["limits"], f"{place}.limits")
    return made


def _project(value: Any, place: str) -> Document:
    value = value or {}
    _known(value, PROJECT, place)
    made = dict(value)
    if "settings" in made:
        _known(made["settings"], NAMES, f"{place}.settings")
        made["settings"] = _settings(made["settings"], f"{place}.settings")
    if "limits" in made:
        made["limits"] = limits(made["limits"], f"{place}.limits")
    return made


def _settings(value: Document, place: str) -> Document:
    made = dict(value)
    if made.get("tiers"):
        made["tiers"] = {name: targets(one, f"{place}.tiers.{name}") for name, one in made["tiers"].items()}
    elif "tiers" in made:
        made["tiers"] = None
    return made


def limits(value: Any, place: str) -> Document:
    """Whole, as PUT takes it: what is left out is no limit."""
    value = value or {}
    _known(value, LIMITS, place)
    made: Document = {name: value.get(name) for name in ("rpm", "tpm", "concurrency")}
    made["budgets"] = sorted(
        (_budget(one, place) for one in value.get("budgets") or []), key=lambda one: str(one["window"])
    )
    for part in ("models", "tiers"):
        inner = {name: limits(one, f"{place}.{part}.{name}") for name, one in (value.get(part) or {}).items()}
        if inner:
            made[part] = inner
    return made


def _budget(value: Any, place: str) -> Document:
    if isinstance(value, str):
        from tui.commands.limits import budget_of

        value = budget_of(value)
    _known(value, BUDGET, f"{place}.budgets")
    made = {name: part for name, part in value.items() if part is not None}
    try:
        made["amount_usd"] = _amount(Decimal(str(made["amount_usd"])))
        made.setdefault("window", "1mo")
    except (KeyError, InvalidOperation):
        raise _bad(f"{place}.budgets", "needs amount_usd, a decimal number") from None
    return made


def _amount(value: Decimal) -> str:
    plain = f"{value.normalize():f}"
    whole, _, rest = plain.partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"


# From the gateway


def read_gateway(run: Invocation, sections: set[str]) -> Document:
    """Those sections in the one shape, whole."""
    made: Document = {}
    if "settings" in sections:
        made["settings"] = {name: value for name, value in run.get("/settings").items() if name not in UPKEEP}
    if "providers" in sections:
        made["providers"] = {
            one["name"]: _provider_told(one) for one in run.get("/providers")["data"] if not one.get("is_sandbox")
        }
    if "tiers" in sections:
        made["tiers"] = {
            one["name"]: targets(_without_nulls(one["targets"]), one["name"]) for one in run.get("/tiers")["data"]
        }
    if "orgs" in sections:
        made["orgs"] = {one["slug"]: _org_told(run, one) for one in run.get("/orgs")["data"]}
    if "projects" in sections:
        made["projects"] = {
            one["slug"]: _project_told(run, one) for one in run.every("/projects") if one["status"] != "archived"
        }
    return made


def _without_nulls(rows: list[Document]) -> list[Document]:
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _provider_told(one: Document) -> Document:
    told: Document = {
        name: one[name]
        for name in ("kind", "base_url", "enabled", "max_connections", "on_disconnect", "position")
        if name in one
    }
    if one.get("timeouts"):
        told["timeouts"] = one["timeouts"]
    source = str(one.get("credential") or "none")
    if source.startswith("env:") or source == "none":
        told["credential_source"] = source
    return told


def _org_told(run: Invocation, one: Document) -> Document:
    told = {"name": one["name"], "timezone": one["timezone"]}
    return {**told, "limits": _limits_told(run, path_of("orgs", one["slug"], "limits"))}


def _project_told(run: Invocation, one: Document) -> Document:
    settings = run.get(path_of("projects", one["slug"], "settings"))
    kept = {name: settings.get(name) for name in NAMES}
    if kept.get("tiers"):
        kept["tiers"] = {name: _without_nulls(rows) for name, rows in kept["tiers"].items()}
    return {
        "name": one["name"],
        "settings": _settings(kept, one["slug"]),
        "limits": _limits_told(run, path_of("projects", one["slug"], "limits")),
    }


def _limits_told(run: Invocation, path: str) -> Document:
    told = run.get(path)
    kept = _pruned({name: told.get(name) for name in LIMITS})
    return limits(kept, path)


def _pruned(told: Document) -> Document:
    budgets = [{name: value for name, value in one.items() if name in BUDGET} for one in told.get("budgets") or []]
    parts = {part: {name: _pruned(one) for name, one in (told.get(part) or {}).items()} for part in ("models", "tiers")}
    return {**told, "budgets": budgets, **{name: value for name, value in parts.items() if value}}


def short(document: Document) -> Document:
    """For people: targets as PROVIDER/MODEL where they have no timeouts of their own, limits without what isn't set."""
    made: Document = {}
    for section, entries in document.items():
        made[section] = {name: _short_entry(section, one) for name, one in entries.items()}
    return made


def _short_entry(section: str, one: Any) -> Any:
    if section == "settings":
        return one
    if section == "tiers":
        return _short_targets(one)
    made = dict(one)
    if (made.get("settings") or {}).get("tiers"):
        made["settings"] = {
            **made["settings"],
            "tiers": {name: _short_targets(rows) for name, rows in made["settings"]["tiers"].items()},
        }
    if "limits" in made:
        made["limits"] = {name: value for name, value in made["limits"].items() if value not in (None, [], {})}
    return made


def _short_targets(rows: list[Document]) -> list[Any]:
    return [row if row.get("timeouts") else f"{row['provider']}/{row['model']}" for row in rows]
