"""`optyx users`, `tokens`, `undo`: who may administer the gateway, and taking back what was done."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui.columns import Column, ago, state, until
from tui.faults import Fault, usage
from tui.invocation import Invocation, current, path_of

users = typer.Typer(no_args_is_help=True, help="People and their roles: owner, operator, viewer.")
tokens = typer.Typer(no_args_is_help=True, help="Admin tokens: what the CLI and the dashboard sign in with.")
undo = typer.Typer()

USERS = [
    Column("EMAIL", "email"), Column("NAME", "name"), Column("ROLE", "role"), Column("DISABLED", "disabled"), ago("CREATED", "created_at"),
    Column("ID", "id", wide=True),
]  # fmt: skip
TOKENS = [
    Column("NAME", "name"), Column("ROLE", "role"), state("STATUS", "status"), Column("PREFIX", "public_id"), ago("CREATED", "created_at"),
    ago("LAST USED", "last_used_at"), until("EXPIRES", "expires_at"), Column("ID", "id"),
]  # fmt: skip
Role = Annotated[str, typer.Option("--role", help="owner, operator or viewer.")]
ROLES = ("owner", "operator", "viewer")


def _checked(role: str) -> str:
    if role not in ROLES:
        raise usage(f"--role {role}: it is {', '.join(ROLES)}")
    return role


@users.command("list")
def list_users() -> None:
    """Everybody with a role."""
    run = current()
    run.list(run.rows("/users"), USERS, "email")


@users.command("create")
def create_user(email: str, name: Annotated[str, typer.Option("--name")] = "", role: Role = "viewer") -> None:
    """Somebody new."""
    run = current()
    made = run.change(
        "POST", "/users", {"email": email, "name": name or email.partition("@")[0], "role": _checked(role)}
    ).body
    run.done(f"Added {made.get('email', email)} as {role}. A token: optyx tokens create --name NAME --user {email}")


def _user(run: Invocation, who: str) -> dict[str, Any]:
    for one in run.every("/users"):
        if who in (one["id"], one["email"]):
            return one
    raise Fault(f"there is no user {who!r}", exit=5, code="not_found", hint="optyx users list")


@users.command("update")
def update_user(
    user: str,
    name: Annotated[str, typer.Option("--name")] = "",
    role: Annotated[str, typer.Option("--role")] = "",
    disabled: Annotated[bool | None, typer.Option("--disable/--enable")] = None,
) -> None:
    """Another name or role; or no access, with all of their tokens."""
    run = current()
    one = _user(run, user)
    given = {"name": name or None, "role": _checked(role) if role else None, "disabled": disabled}
    body = {key: value for key, value in given.items() if value is not None}
    if not body:
        raise usage("what is to change?", "--name, --role, --disable or --enable")
    if disabled or role:
        run.confirm(f"{one['email']}: {', '.join(f'{key} {value}' for key, value in body.items())}")
    run.change("PATCH", path_of("users", one["id"]), body)
    run.done(f"Changed {one['email']}.")


@tokens.command("list")
def list_tokens() -> None:
    """Every admin token. The tokens themselves are nowhere."""
    run = current()
    run.list(run.rows("/tokens"), TOKENS)


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Option("--name", "-n", help="What it is for.")],
    role: Role = "viewer",
    user: Annotated[str, typer.Option("--user", help="Whose it is.")] = "",
    expires: Annotated[str, typer.Option("--expires", help="90d, a date, or never.")] = "never",
    out_file: Annotated[str, typer.Option("--out-file", help="To a new file (0600).")] = "",
) -> None:
    """A new admin token. In a pipe: exactly the token and a newline. It is shown once."""
    from tui.commands.keys import moment
    from tui.handing import check_way, hand_over

    run = current()
    check_way("raw", out_file)
    body: dict[str, Any] = {"name": name, "role": _checked(role)}
    if user:
        body["user"] = user
    if expires != "never":
        body["expires_at"] = moment(expires, "--expires")
    made = run.change("POST", "/tokens", body).body
    hand_over(run, made, out_file, False, "raw", kind="tokens")


@tokens.command("revoke")
def revoke_token(token: Annotated[str, typer.Argument(help="Its id or name.")]) -> None:
    """End it for ever."""
    run = current()
    there = [one for one in run.every("/tokens") if token in (one["id"], one["name"])]
    if len(there) != 1:
        raise Fault(f"there is no one token {token!r}", exit=5, code="not_found", hint="optyx tokens list")
    run.confirm(f"the token {there[0]['name']} ({there[0]['role']}) stops working", typed=there[0]["name"])
    run.change("DELETE", path_of("tokens", there[0]["id"]))
    run.done(f"Revoked {there[0]['name']}.")


@undo.command()
def undo_command(
    entry: Annotated[
        str, typer.Argument(metavar="[ID]", help="Of the trail; the last change of yours when left out.")
    ] = "",
) -> None:
    """Take back a change, within 30 seconds."""
    run = current()
    if not entry:
        me = run.get("/whoami").get("name")
        mine = [one for one in run.get("/audit", limit=50)["data"] if one["actor"] == me and one["result"] == "ok"]
        if not mine:
            raise Fault("there is nothing of yours to take back", exit=5, code="not_found", hint="optyx audit list")
        entry = mine[0]["id"]
        run.done(f"Taking back {mine[0]['action']} of {mine[0]['object_name']}.")
    run.change("POST", path_of("undo", entry))
    run.done("Done.")
