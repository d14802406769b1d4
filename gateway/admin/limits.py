"""Limits and budgets: what is set, how it stands now, and more money for a while."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from gateway import ids
from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing, Reply
from gateway.admin.finding import id_of, key_of, org_of, project_of
from gateway.admin.gauges import of_rows
from gateway.admin.paging import decode_cursor, encode_cursor
from gateway.admin.schema.limits import BudgetAsked, Gauge, LimitRow, Limits, LimitSet, LimitsOverview, SavedLimits
from gateway.admin.schema.record import Changed
from gateway.catalog import Scope
from gateway.errors import Conflict, NotFound
from gateway.instants import iso, read
from gateway.ledger import nusd, usd
from gateway.store import budgets, orgs, projects
from gateway.store import keys as keys_store
from gateway.store import rules as store
from gateway.store.routing import Known, known

MOST_NUSD = 2**63 - 1
LOCKS: dict[str, str] = {
    "org": orgs.LOCK_ORG,
    "project": projects.LOCK_PROJECT,
    "user": projects.LOCK_PROJECT,
    "key": keys_store.LOCK_KEY,
}


class Subject(msgspec.Struct, frozen=True):
    """Whose limits they are. For scope `user` it is the project whose end users each have them."""

    scope: Scope
    id: str
    name: str
    project_id: str | None = None


Place = tuple[Literal["budget", "rate"], str, str, str, str, str]
"""The last row of a page, budgets before rates; of a rate, the first two say where it stands."""


async def overview(ask: Ask[Nothing, a.LimitsQuery]) -> LimitsOverview:
    """Budgets as gauges, rate limits as they are used now, and with the first page the last refusals."""
    q = ask.query
    place: Place | None = decode_cursor(q.cursor, Place)
    org = await orgs.of_user(ask.db, ask.who.user_id)
    of = await id_of(ask.db, "project", q.project), await id_of(ask.db, "key", q.key)
    found = LimitsOverview(timezone=org.timezone if org else "UTC")
    if place is None:
        found.latest_refusals = await store.latest_refusals(ask.db)
    room = q.limit
    if place is None or place[0] == "budget":
        rows = await budgets.after(ask.db, place and place[1:], *of, q.raised, room + 1)
        found.budgets = await of_rows(ask.db, ask.desk.clock(), rows[:room])
        if len(rows) > room:
            last = rows[room - 1]
            found.next = encode_cursor("budget", last.scope, last.subject, last.model, last.tier, last.id)
        room -= len(found.budgets)
    if found.next is None and not q.raised:
        after = (place[1], place[2]) if place is not None and place[0] == "rate" else ("", "")
        rates = await store.rates_now(ask.db, after, *of, room + 1)
        found.rates = [_rate(row) for row in rates[:room]]
        if len(rates) > room:
            after = (rates[room - 1].scope, rates[room - 1].subject) if room else after
            found.next = encode_cursor("rate", *after, "", "", "")
    return found


async def get_of_project(ask: Ask[Nothing, Nothing]) -> Reply:
    return await _get(ask, await _project(ask))


async def get_of_users(ask: Ask[Nothing, Nothing]) -> Reply:
    return await _get(ask, await _users(ask))


async def get_of_key(ask: Ask[Nothing, Nothing]) -> Reply:
    return await _get(ask, await _key(ask))


async def get_of_org(ask: Ask[Nothing, Nothing]) -> Reply:
    return await _get(ask, await _org(ask))


async def put_of_project(ask: Ask[a.Limits, Nothing]) -> Reply:
    return await _put(ask, await _project(ask))


async def put_of_users(ask: Ask[a.Limits, Nothing]) -> Reply:
    return await _put(ask, await _users(ask))


async def put_of_key(ask: Ask[a.Limits, Nothing]) -> Reply:
    return await _put(ask, await _key(ask))


async def put_of_org(ask: Ask[a.Limits, Nothing]) -> Reply:
    return await _put(ask, await _org(ask))


async def raise_budget(ask: Ask[a.Raise, Nothing]) -> Changed:
    """More money until a time. Replaces a raise that still runs; 0.00 ends it."""
    budget_id = ask.path["b"]
    found = await budgets.of(ask.db, ids=[budget_id])
    if not found:
        raise NotFound(f"There is no budget {budget_id[:80]!r}.")
    row, body = found[0], ask.body
    amount = _amount("add_usd", body.add_usd)
    try:
        until = read(body.until, ask.desk.clock())
    except ValueError as error:
        refuse([("until", str(error))])
        raise AssertionError from None
    if until.timestamp() <= ask.desk.clock():
        refuse([("until", f"{iso(until)} is past")])
    if row.amount_nusd + amount > MOST_NUSD:
        refuse([("add_usd", "that is more than can be counted")])
    await budgets.raise_until(ask.db, row.id, amount, until if amount else None)
    ask.reason = body.reason or ask.reason
    return Changed(
        audit_id=audit.record(
            ask, "budget.raise", ("budget", row.id, f"{row.scope} {row.subject_name}"),
            before={"raise_usd": usd(row.raise_nusd), "raise_until": iso(row.raise_until)},
            after={"raise_usd": usd(amount), "raise_until": iso(until) if amount else None},
        )
    )  # fmt: skip


async def undo(ask: Ask[Any, Any], scope: Scope, subject: str, before: Limits, after: Limits) -> None:
    """Puts `before` back, if what is there is still `after`."""
    await ask.db.execute(LOCKS[scope], subject)
    if _content(await _read(ask, scope, subject)) != _content(after):
        raise Conflict("The limits were changed again meanwhile; set them as you want them.")
    await store.put(ask.db, scope, subject, *_rows(before))


async def _get(ask: Ask[Any, Any], subject: Subject) -> Reply:
    limits = await _read(ask, subject.scope, subject.id)
    return Reply(limits, version=_version(limits))


async def _put(ask: Ask[a.Limits, Nothing], subject: Subject) -> Reply:
    await ask.db.execute(LOCKS[subject.scope], subject.id)
    before = await _read(ask, subject.scope, subject.id)
    ask.require_match(_version(before))
    after = _wanted(ask.body, before, await known(ask.db))
    await store.put(ask.db, subject.scope, subject.id, *_rows(after))
    audit_id = audit.record(
        ask, "limits.update", (subject.scope, subject.id, subject.name), project_id=subject.project_id,
        before=msgspec.to_builtins(before), after=msgspec.to_builtins(after),
    )  # fmt: skip
    return Reply(SavedLimits(**msgspec.structs.asdict(after), audit_id=audit_id), version=_version(after))


async def _project(ask: Ask[Any, Any]) -> Subject:
    row = await project_of(ask)
    return Subject("project", row.id, row.name, row.id)


async def _users(ask: Ask[Any, Any]) -> Subject:
    row = await project_of(ask)
    return Subject("user", row.id, f"end users of {row.name}", row.id)


async def _key(ask: Ask[Any, Any]) -> Subject:
    row = await key_of(ask)
    return Subject("key", row.id, row.name, row.project_id)


async def _org(ask: Ask[Any, Any]) -> Subject:
    row = await org_of(ask)
    return Subject("org", row.id, row.name)


# between rows and structs


async def _read(ask: Ask[Any, Any], scope: Scope, subject: str) -> Limits:
    limits, set_budgets = await store.of(ask.db, scope, subject)
    found = Limits()
    for row in limits:
        place = _place(found, row.model, row.tier)
        place.rpm, place.tpm, place.concurrency = row.rpm, row.tpm, row.concurrency
    for one in set_budgets:
        told = _budget(one.id, usd(one.amount_nusd), one.window, one.soft_percent, one.downgrade_percent)
        _place(found, one.model, one.tier).budgets.append(told)
    return found


def _place(limits: Limits, model: str, tier: str) -> LimitSet | Limits:
    """Of all calls, of a model's, or of a tier's."""
    if model:
        return limits.models.setdefault(model, LimitSet())
    return limits.tiers.setdefault(tier, LimitSet()) if tier else limits


def _parts(limits: Limits) -> Iterable[tuple[str, str, LimitSet | Limits]]:
    yield "", "", limits
    for model, one in limits.models.items():
        yield model, "", one
    for tier, one in limits.tiers.items():
        yield "", tier, one


def _rows(limits: Limits) -> tuple[list[store.LimitRow], list[store.BudgetSet]]:
    rates: list[store.LimitRow] = []
    money: list[store.BudgetSet] = []
    for model, tier, one in _parts(limits):
        if (one.rpm, one.tpm, one.concurrency) != (None, None, None):
            rates.append(store.LimitRow(model, tier, one.rpm, one.tpm, one.concurrency))
        money += [
            store.BudgetSet(b.id, model, tier, nusd(b.amount_usd), b.window, b.soft_percent, b.downgrade_percent)
            for b in one.budgets
        ]
    return rates, money


def _wanted(body: a.Limits, before: Limits, there: Known) -> Limits:
    """The body as what will be there. Raises Unprocessable naming the field."""
    unknown = [(f"models.{name}", "there is no such model") for name in body.models if name not in there.ids]
    unknown += [(f"tiers.{name}", "there is no such tier") for name in body.tiers if name not in there.tiers]
    if unknown:
        refuse(unknown)
    return Limits(
        **_set("", body, before),
        models={n: LimitSet(**_set(f"models.{n}.", one, before.models.get(n))) for n, one in body.models.items()},
        tiers={n: LimitSet(**_set(f"tiers.{n}.", one, before.tiers.get(n))) for n, one in body.tiers.items()},
    )


def _set(where: str, body: a.LimitSet, before: LimitSet | Limits | None) -> dict[str, Any]:
    old = {one.window: one for one in before.budgets} if before is not None else {}
    made: dict[str, BudgetAsked] = {}
    for number, one in enumerate(body.budgets):
        place, was = f"{where}budgets[{number}]", old.get(one.window)
        if one.window in made:
            refuse([(f"{place}.window", f"there are two budgets of window {one.window}")])
        if one.id is not None and (was is None or was.id != one.id):
            refuse([(f"{place}.id", "it is not the id of the budget with this window; leave it out")])
        soft = one.soft_percent if one.soft_percent is not UNSET else was.soft_percent if was else None
        down = one.downgrade_percent if one.downgrade_percent is not UNSET else was.downgrade_percent if was else None
        amount = usd(_amount(f"{place}.amount_usd", one.amount_usd))
        made[one.window] = _budget(was.id if was else ids.new("bud"), amount, one.window, soft, down)
    return {"rpm": body.rpm, "tpm": body.tpm, "concurrency": body.concurrency, "budgets": list(made.values())}


def _budget(budget_id: str, amount: str, window: str, soft: int | None, downgrade: int | None) -> BudgetAsked:
    return BudgetAsked(id=budget_id, amount_usd=amount, window=window, soft_percent=soft, downgrade_percent=downgrade)


def _amount(field: str, text: str) -> int:
    try:
        amount = nusd(text)
    except ValueError as error:
        refuse([(field, str(error))])
        raise AssertionError from None
    if not 0 <= amount <= MOST_NUSD:
        refuse([(field, "it must be from 0.00 to 9223372036.854775807 dollars")])
    return amount


def _content(limits: Limits) -> bytes:
    """What is set, without the budgets' ids."""
    rates, money = _rows(limits)
    plain = [msgspec.structs.replace(one, id="") for one in money]
    return msgspec.json.encode([sorted(rates, key=repr), sorted(plain, key=repr)])


def _version(limits: Limits) -> str:
    return hashlib.sha256(_content(limits)).hexdigest()[:16]


def _rate(row: store.RateRow) -> LimitRow:
    has_figures = row.scope != "user"
    return LimitRow(
        scope=row.scope,
        subject=row.subject,
        name=row.name,
        rpm=Gauge(used=row.calls if has_figures else 0.0, limit=row.rpm),
        tpm=Gauge(used=row.tokens if has_figures else 0.0, limit=row.tpm),
        concurrency=Gauge(used=round(row.busy, 2) if has_figures else 0.0, limit=row.concurrency),
        refused_24h=row.refused_24h,
    )
