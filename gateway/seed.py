"""What every gateway starts with. Scripted and idempotent: run again, it adds what is missing and changes nothing.

`seeds/*.sql` hold providers, models, dated prices and tiers; what has random ids is made here.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway import ids, keyring
from gateway.store import seeding
from gateway.store.pool import Connection


class Seeded(msgspec.Struct):
    """Ids, for scripts (`optyx seed --output json`)."""

    org_id: str
    user_id: str
    project_id: str
    billing_account_id: str
    billing_entry_ids: list[str]
    providers: dict[str, str]
    models: int
    prices: int
    tiers: int


def folder() -> Path:
    """The seeds of the wheel, or of the checkout."""
    for place in (Path(__file__).parent / "_data/seeds", Path(__file__).parent.parent / "seeds"):
        if place.is_dir():
            return place
    raise FileNotFoundError("the seeds are missing from this installation; install Optyx again")


async def seed(connection: Connection) -> Seeded:
    """All of it in one transaction."""
    async with connection.transaction():
        await connection.execute(
            "LOCK TABLE orgs IN SHARE ROW EXCLUSIVE MODE"
        )  # two seeds at once: one after the other
        for script in sorted(folder().glob("*.sql")):
            await connection.execute(script.read_text())
        await connection.execute(seeding.INSERT_ORG, ids.new("org"))
        org_id = await connection.fetchval(seeding.ORG_ID)
        await connection.execute(seeding.INSERT_USER, ids.new("usr"))
        user_id = await connection.fetchval(seeding.USER_ID)
        await connection.execute(seeding.INSERT_MEMBERSHIP, org_id, user_id)
        await connection.execute(seeding.INSERT_PROJECT, ids.new("prj"), org_id)
        project_id = await connection.fetchval(seeding.PROJECT_ID, org_id)
        await connection.execute(seeding.INSERT_SETTINGS, project_id)
        await connection.execute(seeding.INSERT_ACCOUNT, ids.new("bil"), org_id)
        account_id = await connection.fetchval(seeding.ACCOUNT_ID, org_id)
        await connection.execute(seeding.INSERT_FIRST_ENTRY, ids.new("ent"), account_id)
        counts = await connection.fetchrow(seeding.COUNTS)
        return Seeded(
            org_id=org_id,
            user_id=user_id,
            project_id=project_id,
            billing_account_id=account_id,
            billing_entry_ids=[row[0] for row in await connection.fetch(seeding.ENTRY_IDS, account_id)],
            providers=dict(await connection.fetch(seeding.PROVIDER_IDS)),
            models=counts[0],
            prices=counts[1],
            tiers=counts[2],
        )


async def first_admin_token(connection: Connection, user_id: str) -> str | None:
    """An owner's token when there is none yet; shown once, by being written to credentials.json."""
    if await connection.fetchval(seeding.ANY_ADMIN_TOKEN):
        return None
    return await admin_token(connection, user_id, "first administrator")


async def admin_token(connection: Connection, user_id: str | None, name: str) -> str:
    minted = keyring.mint_admin_token()
    await connection.execute(seeding.INSERT_ADMIN_TOKEN, ids.new("adm"), name, minted.digest, minted.public_id, user_id)
    return minted.text


async def is_admin_token(connection: Connection, token: str) -> bool:
    return bool(await connection.fetchval(seeding.IS_ADMIN_TOKEN, keyring.digest(token.encode())))


async def first_project_key(connection: Connection, project_id: str) -> str | None:
    """A key of the project when it has none that works; the only time its text exists."""
    if await connection.fetchval(seeding.ANY_KEY_OF, project_id):
        return None
    minted = keyring.mint()
    await connection.execute(seeding.INSERT_KEY, ids.new("key"), project_id, "demo", minted.public_id, minted.digest)
    return minted.text
