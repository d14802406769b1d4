"""A filter of the log as a small tree, and the tree as SQL: every fragment is a constant, every value a parameter.

Parsed from text by `admin/filter`; project and key names become ids here, by one query each, so that the log's own indexes serve.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.store.log_rows import TRACE_ID
from gateway.store.pool import Connection

Op = Literal["=", "like", "<", "<=", ">", ">=", "class", "regex", "in"]


class Term(msgspec.Struct, frozen=True):
    """One value of a condition. `field` is a field of the grammar, or `word` for free text; `like` patterns are SQL's."""

    field: str
    op: Op
    value: Any
    projects: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """For free text: the projects and keys whose names match."""


class Condition(msgspec.Struct, frozen=True):
    """True when one of the terms is; with `negated` when none is."""

    terms: tuple[Term, ...]
    negated: bool = False


class Filter(msgspec.Struct, frozen=True):
    """All conditions hold. `since` (inclusive) and `until` (exclusive) are epoch seconds."""

    conditions: tuple[Condition, ...] = ()
    since: float | None = None
    until: float | None = None

    @property
    def is_of_one(self) -> bool:
        """It asks for an id: an index finds the row wherever in time it is."""
        return any(
            not one.negated and len(one.terms) == 1 and one.terms[0].field in ("id", "call") and _is_start(one.terms[0])
            for one in self.conditions
        )


class Where(msgspec.Struct, frozen=True):
    """SQL to stand after an existing condition (it begins with AND, or is empty), and what its parameters are."""

    sql: str
    values: tuple[Any, ...]


NUMBERS = {
    "ttft": "r.ttft_ms",
    "total": "r.latency_ms",
    "overhead": "r.overhead_ms",
    "cost": "r.cost_nusd",
    "tokens": "r.total_tokens",
    "in": "r.prompt_tokens",
    "out": "r.completion_tokens",
    "cached": "r.cached_tokens",
    "reasoning": "r.reasoning_tokens",
    "attempts": "jsonb_array_length(r.attempts)::bigint",
    "status": "r.status",
}
TEXTS = {
    "provider": "r.provider",
    "tier": "r.tier",
    "endpoint": "r.endpoint",
    "end": "r.end_reason",
    "source": "r.usage_source",
    "user": 'r."user"',
    "id": "r.request_id",
    "price": "r.price_id",
    "version": "r.gateway_version",
    "worker": "r.worker_id",
}
FRAGMENTS: dict[tuple[str, str], str] = {
    **{(name, "="): f"{column} = ?" for name, column in TEXTS.items()},
    **{(name, "like"): f"{column} LIKE ?" for name, column in TEXTS.items()},
    **{(name, op): f"{column} {op} ?" for name, column in NUMBERS.items() for op in ("=", "<", "<=", ">", ">=")},
    ("status", "class"): "r.status >= ? AND r.status < ?1 + 100",
    ("model", "="): "(r.model = ? OR r.requested_model = ?1)",
    ("model", "like"): "(r.model LIKE ? OR r.requested_model LIKE ?1)",
    ("err", "like"): "r.error_code LIKE ?",
    ("call", "="): "r.call_id = ?",
    ("stream", "="): "r.stream = ?",
    ("trace", "="): f"{TRACE_ID} = ?",
    ("cache", "="): "(coalesce(r.cached_tokens, 0) > 0) = ?",
    ("tag", "="): "r.tags @> ARRAY[?::text]",
    ("tag", "like"): "EXISTS (SELECT FROM unnest(r.tags) AS t (tag) WHERE t.tag LIKE ?)",
    ("project", "="): "r.project_id = ?",
    ("project", "in"): "r.project_id = ANY(?::text[])",
    ("key", "="): "r.key_id = ?",
    ("key", "in"): "r.key_id = ANY(?::text[])",
    ("word", "like"): (
        "(r.request_id ILIKE ? OR r.model ILIKE ?1 OR r.requested_model ILIKE ?1 OR r.error_code ILIKE ?1"
        " OR r.project_id = ANY(?2::text[]) OR r.key_id = ANY(?3::text[]))"
    ),
    ("word", "regex"): (
        "(r.request_id ~* ? OR r.model ~* ?1 OR r.requested_model ~* ?1 OR r.error_code ~* ?1"
        " OR r.project_id = ANY(?2::text[]) OR r.key_id = ANY(?3::text[]))"
    ),
}
"""`?` is the term's value, `?1` the same again, `?2` and `?3` the projects and keys of free text."""

OF_ERRORS = "r.status >= 400 AND "
"""Said beside a condition that only errors meet, for the index of errors."""

PROJECTS = {
    "=": "SELECT id FROM projects WHERE id = $1 OR slug = $1 OR name = $1",
    "like": "SELECT id FROM projects WHERE id LIKE $1 OR slug LIKE $1 OR name LIKE $1",
    "word": "SELECT id FROM projects WHERE slug ILIKE $1 OR name ILIKE $1",
    "regex": "SELECT id FROM projects WHERE slug ~* $1 OR name ~* $1",
}
KEYS = {
    "=": "SELECT id FROM api_keys WHERE id = $1 OR name = $1 OR public_id = $1",
    "like": "SELECT id FROM api_keys WHERE id LIKE $1 OR name LIKE $1 OR public_id LIKE $1",
    "word": "SELECT id FROM api_keys WHERE name ILIKE $1 OR public_id ILIKE $1",
    "regex": "SELECT id FROM api_keys WHERE name ~* $1 OR public_id ~* $1",
}


async def resolve(connection: Connection, wanted: Filter) -> Filter:
    """The same filter with the names of projects and keys as ids."""
    conditions = []
    for one in wanted.conditions:
        terms = [await resolve_term(connection, term) for term in one.terms]
        conditions.append(Condition(tuple(terms), one.negated))
    return Filter(tuple(conditions), wanted.since, wanted.until)


async def resolve_term(connection: Connection, term: Term) -> Term:
    """One value: the name of a project or key as its id (`in` with all of them where it is not one)."""
    if term.field == "word":
        how = "regex" if term.op == "regex" else "word"
        return msgspec.structs.replace(
            term,
            projects=await _ids(connection, PROJECTS[how], term.value),
            keys=await _ids(connection, KEYS[how], term.value),
        )
    if term.field in ("project", "key") and term.op in ("=", "like"):
        ids = await _ids(connection, (PROJECTS if term.field == "project" else KEYS)[term.op], term.value)
        return Term(term.field, "=", ids[0]) if len(ids) == 1 else Term(term.field, "in", ids)
    return term


async def _ids(connection: Connection, statement: str, value: str) -> tuple[str, ...]:
    return tuple(row[0] for row in await connection.fetch(statement, value))


def where(wanted: Filter, first: int) -> Where:
    """The conditions of a resolved filter; their parameters are numbered from `first`."""
    values: list[Any] = []
    parts = []
    for condition in wanted.conditions:
        terms = " OR ".join(f"({_fragment(term, first, values)})" for term in condition.terms)
        parts.append(f" AND ({terms}) IS NOT TRUE" if condition.negated else f" AND ({terms})")
    return Where("".join(parts), tuple(values))


def _fragment(term: Term, first: int, values: list[Any]) -> str:
    fragment = FRAGMENTS[term.field, term.op]
    if term.field == "status" and term.op in ("=", "class", ">", ">=") and term.value >= 400:
        fragment = OF_ERRORS + fragment
    for mark, value in (("?2", list(term.projects)), ("?3", list(term.keys))):
        if mark in fragment:
            values.append(value)
            fragment = fragment.replace(mark, f"${first + len(values) - 1}")
    values.append(list(term.value) if term.op == "in" else term.value)
    number = f"${first + len(values) - 1}"
    return fragment.replace("?1", number).replace("?", number)


def _is_start(term: Term) -> bool:
    """An id, or at least ten characters of its beginning."""
    return term.op == "=" or (term.op == "like" and "%" not in str(term.value)[:10])
