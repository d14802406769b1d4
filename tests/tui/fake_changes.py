"""What changes something in the scripted gateway, and says so in its audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.admin.schema.keys import Key, NewKey
from gateway.admin.schema.projects import Project
from tests.tui import seeded

if TYPE_CHECKING:
    from tests.tui.fake_gateway import Handler

SECRET = "sk-optyx-55d0q7w2-Kq7Wn2pZr8Vt4Hs6Jm1Xc9Lb3Yd5Fg0Ra"


def create_project(h: Handler) -> Any:
    name = h.body["name"]
    project = Project(
        id=f"prj_{name}",
        slug=name.lower().replace(" ", "-"),
        name=name,
        created_at=seeded.iso(seeded.NOW),
        default_tier="fast",
    )
    h.fake.projects.append(project)
    h.fake.keys[project.slug] = []
    h.fake.record("project.create", "project", name, None, {"name": name})
    return project


def update_project(h: Handler, slug: str) -> Any:
    for one in h.fake.projects:
        if slug in (one.slug, one.id):
            before = one.name
            one.name = h.body["name"]
            return {"audit_id": h.fake.record("project.update", "project", slug, {"name": before}, {"name": one.name})}
    return {}


def archive(h: Handler, slug: str) -> Any:
    for one in h.fake.projects:
        if slug in (one.slug, one.id):
            one.status = "archived"
    return {"audit_id": h.fake.record("project.archive", "project", slug, {"status": "active"}, {"status": "archived"})}


def key_of(h: Handler, key_id: str) -> Key:
    return next(key for keys in h.fake.keys.values() for key in keys if key.id == key_id)


def create_key(h: Handler, project: str) -> Any:
    given = {
        name: value for name, value in h.body.items() if name in Key.__struct_fields__ and name not in ("id", "budget")
    }
    made = NewKey(
        **{**given, "id": f"key_{h.body['name']}", "public_id": "55d0q7w2", "project": project, "project_id": f"prj_{project}",
           "status": "unused", "created_at": seeded.iso(seeded.NOW)},
        key=SECRET,
    )  # fmt: skip
    listed = Key(**{name: getattr(made, name) for name in Key.__struct_fields__})
    h.fake.keys.setdefault(project, []).append(listed)
    h.fake.record("key.create", "key", made.name, None, {"name": made.name})
    return made


def switch_key(h: Handler, key_id: str, verb: str) -> Any:
    if key_id in h.fake.refused_keys:
        h.refuse(409, "conflict", "This key is being changed by somebody else.")
        return None
    key = key_of(h, key_id)
    before, key.status = key.status, "disabled" if verb == "disable" else "active"
    return {"audit_id": h.fake.record(f"key.{verb}", "key", key.name, {"status": before}, {"status": key.status})}


def rotate_key(h: Handler, key_id: str) -> Any:
    key = key_of(h, key_id)
    if h.body.get("public_id") != key.public_id:
        h.refuse(409, "conflict", f"The key {key.name!r} was rotated meanwhile.")
        return None
    key.status, key.grace_until = "grace", seeded.ago(hours=-22)
    return NewKey(**{name: getattr(key, name) for name in Key.__struct_fields__}, key=SECRET)


def revoke_key(h: Handler, key_id: str) -> Any:
    key = key_of(h, key_id)
    key.status = "revoked"
    return {"audit_id": h.fake.record("key.revoke", "key", key.name, {"status": "active"}, {"status": "revoked"})}


def save_settings(h: Handler, project: str) -> Any:
    current = h.fake.settings
    if h.headers.get("if-match") != f'"{current.version}"':
        h.refuse(
            412,
            "precondition_failed",
            f"The settings changed meanwhile: version {current.version} by {current.updated_by}.",
        )
        return None
    before = {name: getattr(current, name) for name in h.body}
    for name, value in h.body.items():
        setattr(current, name, value)
    current.version += 1
    return {"audit_id": h.fake.record("settings.update", "project", project, before, h.body)}


def undo(h: Handler, audit_id: str) -> Any:
    entry = next(one for one in h.fake.audit if one.id == audit_id)
    h.fake.undone.append(audit_id)
    for keys in h.fake.keys.values():
        for key in keys:
            if key.name == entry.object_name and entry.before and "status" in entry.before:
                key.status = entry.before["status"]
    return {
        "audit_id": h.fake.record(
            f"undo.{entry.action}", entry.object_type, entry.object_name, entry.after, entry.before
        )
    }


def update_provider(h: Handler, name: str) -> Any:
    provider = next(one for one in h.fake.providers if name in (one.id, one.name))
    if "enabled" in h.body:
        provider.enabled = h.body["enabled"]
        provider.state = "ok" if provider.enabled else "disabled"
    return {
        "audit_id": h.fake.record(
            "provider.update", "provider", name, {}, {k: v for k, v in h.body.items() if k != "credential"}
        )
    }


def close_circuit(h: Handler, name: str) -> Any:
    provider = next(one for one in h.fake.providers if name in (one.id, one.name))
    provider.circuit, provider.state, provider.open_for_s = "closed", "ok", None
    return {"audit_id": h.fake.record("circuit.close", "provider", name, {"circuit": "open"}, {"circuit": "closed"})}


def raised(h: Handler, budget_id: str) -> Any:
    return {"audit_id": h.fake.record("budget.raise", "budget", budget_id, {}, h.body)}
