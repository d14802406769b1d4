"""Allow-lists as they are given: each entry must be a model, a `provider/model`, or a pattern that ends in `*`."""

from __future__ import annotations

from gateway.admin.decode import refuse
from gateway.catalog import Catalog


def require_known_models(catalog: Catalog, allowed: list[str] | None, field: str = "allowed_models") -> None:
    """Raises Unprocessable naming the entries that no model answers to. A pattern may stand for models to come."""
    problems = problems_of(catalog, allowed, field)
    if problems:
        refuse(problems)


def problems_of(catalog: Catalog, allowed: list[str] | None, field: str = "allowed_models") -> list[tuple[str, str]]:
    """Field and reason of every entry that is wrong."""
    found: list[tuple[str, str]] = []
    for number, entry in enumerate(allowed or ()):
        place = f"{field}[{number}]"
        if "*" in entry:
            if entry.count("*") > 1 or not entry.endswith("*"):
                found.append((place, f"{entry!r}: a pattern is a beginning and one * at its end, such as claude-*"))
        elif entry not in catalog.models:
            if entry in catalog.tiers:
                found.append((place, f"{entry!r} is a tier; list the models of its targets"))
            else:
                found.append((place, f"there is no model {entry!r}"))
    return found
