"""Who administers: the token that asks, the org, its users, and administrators' tokens."""

from __future__ import annotations

from typing import Literal

from gateway.admin.schema.record import Record

Role = Literal["owner", "operator", "viewer"]


class Whoami(Record):
    name: str = ""
    token_id: str = ""
    role: str = "viewer"
    org_id: str = ""
    version: str = ""
    timezone: str = "UTC"
    """The zone in which days and months of reports begin."""


class Org(Record):
    id: str = ""
    slug: str = ""
    name: str = ""
    timezone: str = "UTC"
    """In which days, weeks and months of budgets and reports begin."""
    created_at: str = ""
    updated_at: str = ""


class SavedOrg(Org):
    audit_id: str | None = None


class User(Record):
    """`role`: in the org; None: no member."""

    id: str = ""
    email: str = ""
    name: str = ""
    role: str | None = None
    org_id: str | None = None
    disabled: bool = False
    created_at: str = ""


class SavedUser(User):
    audit_id: str | None = None


class Token(Record):
    """An administrator's token; its text is in the answer to its creation and nowhere else."""

    id: str = ""
    name: str = ""
    public_id: str = ""
    role: str = "viewer"
    user_id: str | None = None
    status: str = "active"
    created_by: str = ""
    created_at: str = ""
    expires_at: str | None = None
    last_used_at: str | None = None


class NewToken(Token):
    token: str | None = None
    note: str | None = None
    audit_id: str | None = None


class SavedToken(Token):
    audit_id: str | None = None
