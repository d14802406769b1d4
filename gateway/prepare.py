"""Makes a database ready for a gateway, or finds out that it is: in a process of its own, so that the parent, which lives as long as the
gateway, need not carry what only the start needs (15 MB of migrations and database drivers).

`python -m gateway prepare up` prints one JSON object, a `prepared.Prepared`. Called by `supervise`.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from gateway import credentials, migrate
from gateway.config import Config
from gateway.prepared import Mode, Prepared
from gateway.sealing import key_of
from gateway.secret import Secret
from gateway.store.pool import Connection, connect

log = logging.getLogger(__name__)


def prepare(config: Config, mode: Mode, gateway_url: str) -> Prepared:
    """`demo` and `up` migrate, seed and write credentials; `serve` only looks."""
    assert config.database_url is not None
    prepared = Prepared()
    try:
        if mode == "serve":
            _require_usable(config.database_url, prepared)
        else:
            applied = migrate.up(config.database_url)
            if applied:
                prepared.notes.append(f"The database is migrated ({len(applied)} steps).")
            key_of(config.home, config.secret_key, may_create=True)
            asyncio.run(_seed(config, config.database_url, mode, gateway_url, prepared))
    except migrate.MigrateError as error:
        prepared.problem = str(error)
    return prepared


def _require_usable(url: Secret, prepared: Prepared) -> None:
    """A database that is away is no reason not to start: workers begin with the last known configuration, and find it when it is back.
    One that answers must be as this version needs it, and have an administrator: a gateway that nobody may administer is a mistake, and
    one that anybody may is worse."""
    try:
        missing = migrate.missing(url)
    except migrate.DatabaseAway as away:
        prepared.notes.append(
            f"{away}\nStarting with the last known configuration; everything else works as soon as Postgres is back."
        )
        return
    if missing:
        prepared.problem = (
            f"The database's schema is older than this version needs ({missing[0]} is missing). Run: optyx migrate up"
        )
    elif not asyncio.run(_has_administrator(url)):
        prepared.problem = (
            "The database has no admin token of an owner, so nobody could administer this gateway. Run: optyx seed"
            " (it makes the first one and writes credentials.json), or start once with: optyx up"
        )


async def _has_administrator(url: Secret) -> bool:
    from gateway.store import tokens

    connection = await connect(url, "start")
    try:
        return await tokens.exists_owner(connection)
    finally:
        await connection.close()


async def _seed(config: Config, url: Secret, mode: Mode, gateway_url: str, prepared: Prepared) -> None:
    from gateway import seed

    connection = await connect(url, "seed")
    try:
        seeded = await seed.seed(connection)
        token = await seed.first_admin_token(connection, seeded.user_id)
        if token is None:
            token = await _known_or_new_token(config, connection, seeded.user_id)
        own = config.admin_port
        admin_url = credentials.url_of(config.admin_host, own) if own is not None else None
        credentials.write(config.home, gateway_url, token, admin_url)
        if mode == "demo":
            prepared.project_key = await seed.first_project_key(connection, seeded.project_id)
    finally:
        await connection.close()


async def _known_or_new_token(config: Config, connection: Connection, user_id: str) -> str:
    """The token of credentials.json while it works; a new one when the file is gone (the database then is ours and at hand)."""
    from gateway import seed

    try:
        found = credentials.read(config.home)
    except ValueError as error:
        log.warning("%s; it is written anew", error)
        found = None
    if found is not None and await seed.is_admin_token(connection, found["admin_token"]):
        return found["admin_token"]
    return await seed.admin_token(connection, user_id, f"first administrator on {socket.gethostname()}")
