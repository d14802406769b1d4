"""`optyx migrate` and `optyx seed`: the database, without a gateway. They speak to DATABASE_URL, or to the embedded Postgres."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.secret import Secret

migrate = typer.Typer(no_args_is_help=True, help="The database's schema.")
seed = typer.Typer()


@migrate.command("up")
def migrate_up() -> None:
    """Apply every migration that is missing."""
    from gateway import migrate as migrations

    with _database() as url:
        applied = migrations.up(url)
    for step in applied:
        print(step)
    print(f"{len(applied)} applied." if applied else "Nothing to do.", file=sys.stderr)


@migrate.command("status")
def migrate_status(output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table") -> None:
    """Which migrations are applied; exit status 1 when one is missing."""
    import json

    from gateway import migrate as migrations

    with _database() as url:
        steps = migrations.status(url)
    if output == "json":
        print(
            json.dumps(
                [{"id": step.id, "applied": step.is_applied, "why": step.first_line} for step in steps], indent=2
            )
        )
    else:
        for step in steps:
            print(f"{'applied' if step.is_applied else 'MISSING':8} {step.id:20} {step.first_line}")
    if any(not step.is_applied for step in steps):
        raise typer.Exit(1)


@migrate.command("down")
def migrate_down(
    to: Annotated[str, typer.Option("--to", help="The migration to go back to; 0 for none at all.")],
) -> None:
    """Roll back everything after a migration. Data of what goes is lost."""
    from gateway import migrate as migrations

    with _database() as url:
        for step in migrations.down(url, to):
            print(step)


@seed.command()
def seed_command(output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table") -> None:
    """One org, user, project, the providers, tiers, prices, sample billing, an owner's token. Again, it changes nothing."""
    import msgspec

    from gateway import credentials
    from gateway import migrate as migrations
    from gateway import seed as seeding
    from gateway.config import load
    from gateway.store.pool import connect

    async def run(url: Secret) -> seeding.Seeded:
        config = load()
        connection = await connect(url, "seed")
        try:
            seeded = await seeding.seed(connection)
            token = await seeding.first_admin_token(connection, seeded.user_id)
        finally:
            await connection.close()
        if token is not None:
            path = credentials.write(config.home, credentials.url_of(config.host, config.port), token)
            print(f"The first admin token is in {path}.", file=sys.stderr)
        return seeded

    with _database() as url:
        missing = migrations.missing(url)
        if missing:
            print(f"optyx: the schema lacks {missing[0]}; run: optyx migrate up", file=sys.stderr)
            raise typer.Exit(1)
        seeded = asyncio.run(run(url))
    if output == "json":
        print(msgspec.json.format(msgspec.json.encode(seeded), indent=2).decode())
        return
    for name, value in msgspec.to_builtins(seeded).items():
        print(f"{name:20} {value}")


@contextmanager
def _database() -> Iterator[Secret]:
    """DATABASE_URL, or the embedded Postgres, started for as long as it is needed."""
    from gateway.config import ConfigError, load
    from gateway.embedded import EmbeddedPostgres, PostgresError
    from gateway.migrate import MigrateError
    from gateway.secret import Secret

    server = None
    try:
        config = load()
        url = config.database_url
        if url is None:
            server = EmbeddedPostgres(config.home / "postgres", bindir=config.pg_bindir)
            url = Secret(server.start())
        yield url
    except (ConfigError, PostgresError, MigrateError, OSError) as error:
        print(f"optyx: {error}", file=sys.stderr)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None
    finally:
        if server is not None:
            server.stop()
