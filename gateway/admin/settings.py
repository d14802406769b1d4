"""Settings of a project: changed field by field, checked, previewed against the last day, kept version by version."""

from __future__ import annotations

import itertools
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET

from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.allowing import Problems, problems_of, target_problems
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing, Reply
from gateway.admin.finding import project_of
from gateway.admin.impact import Lines, impact, total
from gateway.admin.paging import PageQuery, decode_cursor, page
from gateway.admin.schema.models import TierTarget
from gateway.admin.schema.record import Page
from gateway.admin.schema.settings import Difference, Preview, Problem, SavedSettings, Settings, SettingsVersion
from gateway.errors import Conflict, NotFound
from gateway.instants import iso
from gateway.store import projects
from gateway.store import settings as store
from gateway.store.routing import Known, known

FIELDS = ("default_tier", "tiers", "allowed_models", "failover", "capture", "timezone")
_tiers = msgspec.json.Decoder(dict[str, list[TierTarget]] | None).decode


async def get(ask: Ask[Nothing, Nothing]) -> Reply:
    row = await store.of(ask.db, (await project_of(ask)).id)
    return Reply(_told(row), version=row.version)


async def update(ask: Ask[a.SettingsChange, Nothing]) -> Reply:
    project = await project_of(ask, lock=True)
    before = await _of(ask, project.id)
    ask.require_match(before.version)
    return await _save(ask, project, before, _changed(before, ask.body), "settings.update")


async def restore(ask: Ask[a.Restore, Nothing]) -> Reply:
    """An old version as a new one."""
    project = await project_of(ask, lock=True)
    kept = await store.version(ask.db, project.id, ask.body.version)
    if kept is None:
        raise NotFound(f"{project.slug} has no version {ask.body.version} in its history.")
    before = await _of(ask, project.id)
    return await _save(ask, project, before, _revived(kept), "settings.restore")


async def history(ask: Ask[Nothing, PageQuery]) -> Page[SettingsVersion]:
    """Newest first; each says what it changed."""
    project, limit = await project_of(ask), ask.query.limit
    place = decode_cursor(ask.query.cursor, tuple[int])
    rows = await store.versions(ask.db, project.id, place[0] if place else None, limit + 1)
    listed = page(rows, limit, lambda row: (row.version,))
    older = {newer.version: row for newer, row in itertools.pairwise(rows)}
    return Page(data=[_version(row, older.get(row.version)) for row in listed.data], next=listed.next)


async def preview(ask: Ask[a.SettingsChange, Nothing]) -> Preview:
    """What is wrong with the change, what it changes, and which calls of the last 24 hours it would have refused or sent elsewhere."""
    project = await project_of(ask)
    there, before = await known(ask.db), await _of(ask, project.id)
    after = _changed(before, ask.body)
    calls = await store.calls_of_a_day(ask.db, project.id)
    found = impact(calls, Lines(before, ask.desk.catalog), Lines(after, ask.desk.catalog))
    return Preview(
        problems=[Problem(field=field, message=why) for field, why in _problems(after, there)],
        differences=[Difference(field=name, before=was, after=now) for name, (was, now) in _diff(before, after).items()],
        refused=total(found, "refused"),
        no_fallback=total(found, "no_fallback"),
        elsewhere=total(found, "elsewhere"),
        examined=sum(row.calls for row in calls),
        impact=found,
    )  # fmt: skip


async def undo(ask: Ask[Any, Any], project_id: str, before: dict[str, Any], version: int) -> None:
    """Puts the fields of `before` back, as a new version, if `version` is still the newest."""
    await ask.db.execute(projects.LOCK_PROJECT, project_id)
    current = await _of(ask, project_id)
    if current.version != version:
        raise Conflict("The settings were changed again meanwhile; restore a version of the history.")
    after = _revived(msgspec.json.encode({**_content(current), **before}).decode())
    await _write(ask, project_id, current, after)


async def _save(
    ask: Ask[Any, Any], project: projects.ProjectRow, before: Settings, after: Settings, action: str
) -> Reply:
    problems = _problems(after, await known(ask.db))
    if problems:
        refuse(problems)
    changes = _diff(before, after)
    audit_id = None
    if changes:
        await _write(ask, project.id, before, after)
        audit_id = audit.record(
            ask, action, ("project", project.id, project.name), project_id=project.id,
            before={"version": before.version, **{name: was for name, (was, _) in changes.items()}},
            after={"version": before.version + 1, **{name: now for name, (_, now) in changes.items()}},
        )  # fmt: skip
    saved = await _of(ask, project.id)
    return Reply(SavedSettings(**msgspec.structs.asdict(saved), audit_id=audit_id), version=saved.version)


async def _write(ask: Ask[Any, Any], project_id: str, before: Settings, after: Settings) -> None:
    version = before.version + 1
    if before.version:  # the first version was never changed, so nothing has kept it yet
        row = await store.of(ask.db, project_id)
        await store.keep(ask.db, project_id, before.version, _text(before), row.updated_by, row.updated_at)
    tiers = None if after.tiers is None else msgspec.json.encode(_content(after)["tiers"]).decode()
    await store.save(
        ask.db,
        project_id,
        store.SettingsRow(
            version, after.default_tier, tiers, after.allowed_models, after.failover, after.capture, after.timezone,
            ask.who.name, None,
        ),
    )  # fmt: skip
    await store.keep(ask.db, project_id, version, _text(after), ask.who.name, None)


async def _of(ask: Ask[Any, Any], project_id: str) -> Settings:
    return _told(await store.of(ask.db, project_id))


def _told(row: store.SettingsRow) -> Settings:
    return Settings(
        default_tier=row.default_tier,
        tiers=_tiers(row.tiers) if row.tiers else None,
        allowed_models=row.allowed_models,
        failover=row.failover,
        capture=row.capture,
        timezone=row.timezone,
        version=row.version,
        updated_at=iso(row.updated_at) or "",
        updated_by=row.updated_by or "",
    )


def _changed(before: Settings, body: a.SettingsChange) -> Settings:
    """`before` with what the body gives."""
    given = {name: value for name in FIELDS if (value := getattr(body, name)) is not UNSET}
    if given.get("tiers") is not None:
        raw = msgspec.to_builtins(given["tiers"])
        given["tiers"] = msgspec.convert(raw, dict[str, list[TierTarget]]) or None
    return msgspec.structs.replace(before, **given)


def _content(settings: Settings) -> dict[str, Any]:
    """What is set, as plain values; a target without timeouts of its own has no such field."""
    found = {name: value for name, value in msgspec.to_builtins(settings).items() if name in FIELDS}
    for targets in (found["tiers"] or {}).values():
        for target in targets:
            if target["timeouts"] is None:
                del target["timeouts"]
    return found


def _text(settings: Settings) -> str:
    return msgspec.json.encode(_content(settings)).decode()


def _revived(kept: str) -> Settings:
    return msgspec.json.decode(kept, type=Settings)


def _diff(before: Settings, after: Settings) -> dict[str, tuple[Any, Any]]:
    was, now = _content(before), _content(after)
    return {name: (was[name], now[name]) for name in FIELDS if was[name] != now[name]}


def _version(row: store.VersionRow, older: store.VersionRow | None) -> SettingsVersion:
    kept = _revived(row.settings)
    changes = _diff(_revived(older.settings) if older else Settings(), kept)
    return SettingsVersion(
        version=row.version,
        at=iso(row.updated_at) or "",
        by=row.updated_by or "",
        summary=", ".join(_change_of(name, was, now) for name, (was, now) in changes.items()),
        values=_content(kept),
    )


def _change_of(name: str, was: Any, now: Any) -> str:
    if isinstance(was, dict) or isinstance(now, dict):
        return name
    if isinstance(was, list) and isinstance(now, list):
        moved = [*(f"+ {one}" for one in now if one not in was), *(f"- {one}" for one in was if one not in now)]
        return f"{name} {' '.join(moved)}"
    return f"{name} {_shown(was)} → {_shown(now)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value) or "nothing"
    return {None: "default", True: "on", False: "off"}.get(value, str(value))


def _problems(settings: Settings, there: Known) -> Problems:
    found = problems_of(there, settings.allowed_models)
    if settings.default_tier is not None:
        if settings.default_tier not in there.tiers:
            found.append(("default_tier", f"there is no tier {settings.default_tier!r}: {', '.join(there.tiers)}"))
        elif there.tiers[settings.default_tier][0] != "chat":
            found.append(("default_tier", f"{settings.default_tier} is not for chat"))
    for tier, targets in (settings.tiers or {}).items():
        if tier not in there.tiers:
            found.append((f"tiers.{tier}", f"there is no such tier: {', '.join(there.tiers)}"))
        else:
            found += target_problems(there, tier, there.tiers[tier][0], targets, f"tiers.{tier}")
    if settings.timezone is not None and not is_zone(settings.timezone):
        found.append(("timezone", f"there is no time zone {settings.timezone!r}; one is Europe/Berlin"))
    return found


def is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
