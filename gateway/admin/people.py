"""Users and admin tokens. A token's text is in the answer to its making and nowhere else; the last owner can't be taken away."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import UNSET

from gateway import ids, keyring
from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing
from gateway.admin.finding import org_of
from gateway.admin.guard import RANK
from gateway.admin.keys import expiry_of
from gateway.admin.paging import PageQuery, decode_cursor, page
from gateway.admin.schema.people import NewToken, SavedToken, SavedUser, Token, User
from gateway.admin.schema.record import Page
from gateway.errors import Conflict, NotFound
from gateway.instants import iso
from gateway.store import orgs, tokens
from gateway.store import people as store

U = TypeVar("U", bound=User)
T = TypeVar("T", bound=Token)


async def list_users(ask: Ask[Nothing, PageQuery]) -> Page[User]:
    place = decode_cursor(ask.query.cursor, tuple[str])
    rows = await store.users_after(ask.db, place[0] if place else None, ask.query.limit + 1)
    listed = page(rows, ask.query.limit, lambda row: (row.email,))
    return Page(data=[_user(row, User) for row in listed.data], next=listed.next)


async def get_user(ask: Ask[Nothing, Nothing]) -> User:
    return _user(await _user_of(ask, ask.path["u"]), User)


async def create_user(ask: Ask[a.NewUser, Nothing]) -> SavedUser:
    body = ask.body
    org = await (org_of(ask, body.org) if body.org else orgs.of_user(ask.db, ask.who.user_id))
    if org is None:
        raise Conflict("There is no org yet. Run: optyx seed")
    user_id = ids.new("usr")
    await store.insert_user(ask.db, user_id, body.email, body.name)
    await store.set_role(ask.db, user_id, org.id, body.role)
    after = {"email": body.email, "name": body.name, "role": body.role, "org": org.slug}
    audit_id = audit.record(ask, "user.create", ("user", user_id, body.email), after=after)
    return await _saved(ask, user_id, audit_id)


async def update_user(ask: Ask[a.UserChange, Nothing]) -> SavedUser:
    """A disabled user's tokens stop at once."""
    await store.lock(ask.db)
    row, body = await _user_of(ask, ask.path["u"]), ask.body
    name = row.name if body.name is UNSET else body.name
    disabled = row.disabled if body.disabled is UNSET else body.disabled
    role = row.role if body.role is UNSET else body.role
    await store.update_user(ask.db, row.id, name, disabled)
    if body.role is not UNSET and role != row.role:
        org = await orgs.of_user(ask.db, row.id)
        assert org is not None  # the user's, or the gateway's first
        await store.set_role(ask.db, row.id, org.id, role)
    await _require_owner(ask)
    audit_id = audit.record(
        ask, "user.update", ("user", row.id, row.email),
        before={"name": row.name, "role": row.role, "disabled": row.disabled},
        after={"name": name, "role": role, "disabled": disabled},
    )  # fmt: skip
    return await _saved(ask, row.id, audit_id)


async def list_tokens(ask: Ask[Nothing, PageQuery]) -> Page[Token]:
    place = decode_cursor(ask.query.cursor, tuple[str])
    rows = await store.tokens_after(ask.db, place[0] if place else None, ask.query.limit + 1)
    listed = page(rows, ask.query.limit, lambda row: (row.id,))
    return Page(data=[_token(ask, row, Token) for row in listed.data], next=listed.next)


async def create_token(ask: Ask[a.NewToken, Nothing]) -> NewToken:
    body = ask.body
    user = await _user_of(ask, body.user) if body.user else None
    if user is not None and (user.role is None or RANK[user.role] < RANK[body.role]):
        refuse([("role", f"{user.email} is {user.role or 'no member of an org'}; a token never outranks its user")])
    expires_at = expiry_of(body.expires_at, ask.desk.clock())
    minted, token_id = keyring.mint_admin_token(), ids.new("adm")
    await store.insert_token(
        ask.db, token_id, body.name, minted.digest, minted.public_id, body.role, user.id if user else None, ask.who.name, expires_at
    )  # fmt: skip
    after = {"name": body.name, "role": body.role, "public_id": minted.public_id, "expires_at": iso(expires_at)}
    audit_id = audit.record(ask, "token.create", ("token", token_id, body.name), after=after)
    row = await store.token_by_id(ask.db, token_id)
    assert row is not None
    made = _token(ask, row, NewToken)
    made.token, made.audit_id = minted.text, audit_id
    return made


async def delete_token(ask: Ask[Nothing, Nothing]) -> SavedToken:
    """It stops at once and for ever; its row stays, so that the audit can be read."""
    await store.lock(ask.db)
    wanted = ask.path["t"]
    row = await store.token_by_id(ask.db, wanted)
    if row is None:
        raise NotFound(f"There is no token {wanted[:80]!r}.")
    before = _token(ask, row, Token).status
    await store.end_token(ask.db, row.id)
    await _require_owner(ask)
    audit_id = audit.record(
        ask, "token.revoke", ("token", row.id, row.name), before={"status": before}, after={"status": "revoked"}
    )
    ended = await store.token_by_id(ask.db, row.id)
    assert ended is not None
    saved = _token(ask, ended, SavedToken)
    saved.audit_id = audit_id
    return saved


async def _require_owner(ask: Ask[Any, Any]) -> None:
    if not await tokens.exists_owner(ask.db):
        raise Conflict("Then no owner's token would work any more, and nobody could administer this gateway.")


async def _user_of(ask: Ask[Any, Any], name: str) -> store.UserRow:
    row = await store.user_by_name(ask.db, name)
    if row is None:
        raise NotFound(f"There is no user {name[:80]!r}.")
    return row


async def _saved(ask: Ask[Any, Any], user_id: str, audit_id: str) -> SavedUser:
    saved = _user(await _user_of(ask, user_id), SavedUser)
    saved.audit_id = audit_id
    return saved


def _user(row: store.UserRow, kind: type[U]) -> U:
    return kind(
        id=row.id,
        email=row.email,
        name=row.name,
        role=row.role,
        org_id=row.org_id,
        disabled=row.disabled,
        created_at=iso(row.created_at) or "",
    )


def _token(ask: Ask[Any, Any], row: store.TokenRow, kind: type[T]) -> T:
    status = "active"
    if row.disabled_at is not None:
        status = "revoked"
    elif row.user_is_disabled:
        status = "disabled"
    elif row.expires_at is not None and row.expires_at.timestamp() <= ask.desk.clock():
        status = "expired"
    return kind(
        id=row.id,
        name=row.name,
        public_id=row.public_id,
        role=row.role,
        user_id=row.user_id,
        status=status,
        created_by=row.created_by or "",
        created_at=iso(row.created_at) or "",
        expires_at=iso(row.expires_at),
        last_used_at=iso(row.last_used_at),
    )
