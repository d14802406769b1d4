"""`optyx keys`: list, get, create, rotate, disable, enable, revoke, update, test, whois."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tui import figures
from tui.columns import Column, addresses, ago, models, money, number, state, until
from tui.faults import FINDINGS, Fault, usage
from tui.flags import seconds
from tui.invocation import Invocation, current, path_of, words_of_stdin

keys = typer.Typer(no_args_is_help=True, help="What proves a project to the gateway.")

FEW = 6
NOT_FROM_HERE = "address_not_allowed"
STATES = ("active", "unused", "disabled", "expired", "grace", "revoked")
COLUMNS = [
    Column("NAME", "name"),
    Column("PROJECT", "project"),
    state("STATUS", "status"),
    Column("PREFIX", "public_id", lambda text: f"sk-optyx-{text}"),
    ago("CREATED", "created_at"),
    until("EXPIRES", "expires_at"),
    ago("LAST USED", "last_used_at"),
    number("24 H", "requests_24h"),
    money("SPENT", "cost_nusd"),
    models("MODELS", wide=True),
    addresses("FROM", wide=True),
    Column("CREATED BY", "created_by", wide=True),
    Column("ID", "id", wide=True),
]
DETAIL = [
    Column("name", "name"), Column("id", "id"), Column("project", "project"), state("status", "status"),
    Column("prefix", "public_id", lambda text: f"sk-optyx-{text}"), models("models"), addresses("may be used from"),
    ago("created", "created_at"), Column("created by", "created_by"), until("expires", "expires_at"),
    until("old secret works until", "grace_until"), ago("last used", "last_used_at"), number("requests in 24 h", "requests_24h"),
    money("spent", "cost_nusd"), number("requests/min", "rpm"), number("tokens/min", "tpm"), number("concurrency", "concurrency"),
]  # fmt: skip

Which = Annotated[str, typer.Argument(metavar="KEY", help="Its name (with -p), id, or prefix.")]
Several = Annotated[list[str] | None, typer.Argument(metavar="KEY…", help="Names (with -p), ids, or prefixes.")]
Stdin = Annotated[bool, typer.Option("--stdin", help="Read the keys from stdin, one a line.")]
OutFile = Annotated[str, typer.Option("--out-file", help="Write the secret to a new file (0600) and print its path.")]
Form = Annotated[str, typer.Option("--format", help="raw, env or json: how the secret is printed.")]
Cidrs = Annotated[
    list[str] | None,
    typer.Option(
        "--cidr", metavar="CIDR", help="An address or network it may be used from, like 10.0.0.0/8; repeat it."
    ),
]
Copy = Annotated[bool, typer.Option("--copy", help="To the clipboard, and not on the screen.")]


def found(run: Invocation, word: str) -> dict[str, Any]:
    """A key by id, prefix or name. Raises Fault: exit 5 when there is none, 2 when several have the name."""
    if word.startswith("key_"):
        return dict(run.get(path_of("keys", word)))
    public_id = word.removeprefix("sk-optyx-").partition("-")[0]
    if word.startswith("sk-optyx-"):
        if not public_id:
            raise usage("the prefix of a key goes on behind sk-optyx-", "sk-optyx-XXXXXXXXXX")
        return dict(run.get(path_of("keys", "whois", public_id)))
    where = [run.project] if run.project else [one["slug"] for one in run.every("/projects")]
    every = [key for project in where for key in run.every(path_of("projects", project, "keys"))]
    matches = [key for key in every if word in (key["name"], key["public_id"])]
    usable = [key for key in matches if key["status"] != "revoked"]
    matches = usable or matches
    if not matches:
        raise Fault(
            f"there is no key {word!r}" + (f" in {run.project}" if run.project else ""),
            exit=5,
            code="not_found",
            hint="optyx keys list",
        )
    if len(matches) > 1:
        ids = ", ".join(f"{key['id']} in {key['project']}" for key in matches[:5])
        hint = "name the project with -p, or the id" if len({key["project"] for key in matches}) > 1 else "name its id"
        raise usage(f"several keys are called {word!r}: {ids}", hint, "ambiguous")
    return matches[0]


@keys.command("list")
def list_keys(
    status: Annotated[
        str, typer.Option("--status", help="active, unused, disabled, expired, grace, revoked; commas mean or.")
    ] = "",
    expiring: Annotated[str, typer.Option("--expiring", help="Those that end within this time, like 7d.")] = "",
    idle: Annotated[str, typer.Option("--idle", help="Those not used for this long, like 30d.")] = "",
) -> None:
    """The keys of a project, or of all of them."""
    run = current()
    is_wanted = _filter(status, expiring, idle)
    most = run.flags.limit
    rows: list[dict[str, Any]] = []
    for project in [run.project] if run.project else [one["slug"] for one in run.every("/projects")]:
        rows += [key for key in run.every(path_of("projects", project, "keys")) if is_wanted(key)]
        if 0 <= most < len(rows):
            break
    if 0 <= most < len(rows):
        run.tell_cut(most, "")
        rows = rows[:most]
    run.list(rows, COLUMNS, "id", "No keys here: optyx keys create -p PROJECT --name NAME")


def _filter(status: str, expiring: str, idle: str) -> Callable[[dict[str, Any]], bool]:
    """Raises Fault for a status or a duration that is none."""
    from tui import clock

    states = set(status.split(",")) if status else set(STATES)
    unknown = sorted(states - set(STATES))
    if unknown:
        raise usage(f"--status {unknown[0]}: there is no such status", f"they are {', '.join(STATES)}")
    ends_in_s = seconds(expiring, "--expiring") if expiring else None
    idle_s = seconds(idle, "--idle") if idle else None

    def is_wanted(key: dict[str, Any]) -> bool:
        ends = figures.parsed(key.get("expires_at"))
        used = figures.parsed(key.get("last_used_at") or key.get("created_at"))
        if ends_in_s is not None and (ends is None or ends.timestamp() - clock.now() > ends_in_s):
            return False
        if idle_s is not None and used is not None and clock.now() - used.timestamp() < idle_s:
            return False
        return key["status"] in states

    return is_wanted


@keys.command("get")
def get(key: Which) -> None:
    """One key. Its secret is nowhere."""
    run = current()
    one = found(run, key)
    run.show(run.get(path_of("keys", one["id"])), DETAIL)


@keys.command("whois")
def whois(
    prefix: Annotated[str, typer.Argument(help="What stands in a log or a leak: sk-optyx-… up to its second dash.")],
) -> None:
    """Whose key begins like this. Never give the whole secret."""
    run = current()
    if "-" in prefix.removeprefix("sk-optyx-"):
        raise usage("that is a whole key: revoke it if it leaked, and give only its prefix", "sk-optyx-XXXXXXXX")
    run.show(found(run, prefix), DETAIL)


@keys.command("create")
def create(
    name: Annotated[str, typer.Option("--name", "-n", help="What it is for.")],
    expires: Annotated[str, typer.Option("--expires", help="90d, a date, or never.")] = "never",
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="A model it may call; repeat it. None: the project's.")
    ] = None,
    budget: Annotated[list[str] | None, typer.Option("--budget", help="AMOUNT/WINDOW in dollars, like 50/1mo.")] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=0, help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=0, help="Tokens a minute.")] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=0, help="Calls at once.")] = None,
    cidr: Cidrs = None,
    out_file: OutFile = "",
    copy: Copy = False,
    form: Form = "raw",
    if_not_exists: Annotated[
        bool, typer.Option("--if-not-exists", help="Well if the project has a key of that name.")
    ] = False,
    test: Annotated[bool, typer.Option("--test", help="Try it before it is handed over.")] = False,
) -> None:
    """A new key. In a pipe: exactly the key and a newline. It is shown once."""
    from tui.commands.limits import body_of

    run = current()
    project = run.needed_project()
    if if_not_exists:
        there = [
            one
            for one in run.every(path_of("projects", project, "keys"))
            if one["name"] == name and one["status"] != "revoked"
        ]
        if there:
            run.done(f"{name} is there already ({there[0]['id']}); its secret can't be shown again.")
            return
    asked: dict[str, Any] = {"name": name}
    if expires != "never":
        asked["expires_at"] = moment(expires, "--expires")
    if model:
        asked["allowed_models"] = model
    if cidr:
        asked["allowed_addresses"] = cidr
    hand_over_new(run, project, asked, body_of(rpm, tpm, concurrency, budget), out_file, copy, form, test)


def moment(text: str, flag: str) -> str:
    """`90d` from now, or a date or time, as ISO 8601 in UTC. Raises Fault."""
    from datetime import UTC, datetime, timedelta

    from tui import clock

    at = figures.parsed(text)
    if at is None:
        at = datetime.fromtimestamp(clock.now(), UTC) + timedelta(seconds=seconds(text, flag))
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def hand_over_new(
    run: Invocation,
    project: str,
    asked: dict[str, Any],
    limits: dict[str, Any] | None = None,
    out_file: str = "",
    copy: bool = False,
    form: str = "raw",
    test: bool = False,
) -> None:
    """Makes a key and puts its secret where it was asked for; what can't be handed over is disabled again."""
    from tui.handing import check_way, hand_over

    check_way(form, out_file)
    made = run.change("POST", path_of("projects", project, "keys"), asked).body
    if not made.get("key"):  # the answer to the first try was lost: the secret went with it
        run.change("POST", path_of("keys", made["id"], "disable"))
        run.done(f"The first answer was lost on the way: {made['id']} is disabled, another key is made.")
        run.flags.idempotency_key = ""
        made = run.change("POST", path_of("projects", project, "keys"), asked).body
    if limits:
        made = _limited(run, made, limits)
    if test:
        if not _works(run, str(made["key"])):
            run.change("POST", path_of("keys", made["id"], "disable"))
            raise Fault(
                f"the new key {made['name']} does not work; it is disabled", exit=FINDINGS, code="key_test_failed"
            )
        run.done("Tried: it works.")
    hand_over(run, made, out_file, copy, form)


def _limited(run: Invocation, made: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """The new key's record with its limits, and its secret still."""
    try:
        run.change("PUT", path_of("keys", made["id"], "limits"), limits)
        now = run.get(path_of("keys", made["id"]))
    except Fault:
        run.change("POST", path_of("keys", made["id"], "disable"))
        run.done(f"{made['name']} was made, but its limits were refused: it is disabled.")
        raise
    return {**made, **{name: now.get(name) for name in ("rpm", "tpm", "concurrency", "budget")}}


@keys.command("rotate")
def rotate(
    key: Which,
    grace: Annotated[str, typer.Option("--grace", help="How long the old secret works on, like 24h.")] = "24h",
    now: Annotated[bool, typer.Option("--now", help="The old secret stops at once.")] = False,
    out_file: OutFile = "",
    copy: Copy = False,
    form: Form = "raw",
) -> None:
    """A new secret for the same key: name, limits and spend stay. The old one has a grace period."""
    from tui.handing import check_way, hand_over

    run = current()
    check_way(form, out_file)
    one = found(run, key)
    grace_s = 0 if now else int(seconds(grace, "--grace"))
    if now:
        run.confirm(f"the old secret of {one['name']} stops working at once", typed=one["name"])
    body = {"grace_s": grace_s, "public_id": one["public_id"]}
    made = run.change("POST", path_of("keys", one["id"], "rotate"), body).body
    hand_over(run, made, out_file, copy, form)


def _named(words: list[str] | None, stdin: bool) -> list[str]:
    named = list(words or []) + (list(words_of_stdin()) if stdin else [])
    if not named:
        raise usage("which key?", "name it, or read names with --stdin")
    return named


@keys.command("disable")
def disable(names: Several = None, stdin: Stdin = False) -> None:
    """Refuse calls with it until it is enabled again."""
    run = current()
    ones = [found(run, word) for word in _named(names, stdin)]
    run.confirm(f"no call gets through any more with: {', '.join(one['name'] for one in ones)}")
    for one in ones:
        run.change("POST", path_of("keys", one["id"], "disable"))
        run.done(f"Disabled {one['name']}.", f"optyx keys enable {one['id']}")


@keys.command("enable")
def enable(names: Several = None, stdin: Stdin = False) -> None:
    """Take calls with it again."""
    run = current()
    for one in [found(run, word) for word in _named(names, stdin)]:
        run.change("POST", path_of("keys", one["id"], "enable"))
        run.done(f"Enabled {one['name']}.", f"optyx keys disable {one['id']}")


@keys.command("revoke")
def revoke(names: Several = None, stdin: Stdin = False) -> None:
    """End it for ever."""
    run = current()
    for one in [found(run, word) for word in _named(names, stdin)]:
        run.confirm(
            f"{one['name']} of {one['project']} is revoked for ever; {one.get('requests_24h', 0)} calls in 24 h",
            typed=one["name"],
        )
        run.change("DELETE", path_of("keys", one["id"]))
        run.done(f"Revoked {one['name']}.")


@keys.command("update")
def update(
    key: Which,
    name: Annotated[str, typer.Option("--name", help="Its new name.")] = "",
    expires: Annotated[str, typer.Option("--expires", help="90d, a date, or never.")] = "",
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="A model it may call; repeat it.")] = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="Whatever its project may call.")] = False,
    cidr: Cidrs = None,
    any_address: Annotated[bool, typer.Option("--any-address", help="It may be used from everywhere.")] = False,
) -> None:
    """Another name, end, list of models, or of addresses it may be used from. A list replaces the one before."""
    run = current()
    body: dict[str, Any] = {"name": name} if name else {}
    if expires:
        body["expires_at"] = None if expires == "never" else moment(expires, "--expires")
    if model or all_models:
        body["allowed_models"] = model or None
    if cidr or any_address:
        body["allowed_addresses"] = cidr or None
    if not body:
        raise usage("what is to change?", "--name, --expires, --model, --all-models, --cidr or --any-address")
    one = found(run, key)
    run.change("PATCH", path_of("keys", one["id"]), body)
    run.done(f"Changed {one['name']}.")


@keys.command("test")
def test_key() -> None:
    """Does this key work? It is read from stdin (or OPTYX_API_KEY), and only listed models are asked for: nothing is spent."""
    import os

    run = current()
    given = os.environ.get("OPTYX_API_KEY", "")
    typed = "" if sys.stdin.isatty() else sys.stdin.readline().strip()
    secret = typed or given or run.secret_from_stdin("Key")
    models = _models_of(run, secret)
    run.show(
        {"works": True, "models": models},
        [Column("works", "works"), Column("models", "models", _some)],
    )


def _some(models: list[str]) -> str:
    """A key may call hundreds: the first few say which kind, and where the others are."""
    rest = " … (-o json lists all)" if len(models) > FEW else ""
    return f"{len(models)}: {', '.join(models[:FEW])}{rest}"


def _models_of(run: Invocation, secret: str) -> list[str]:
    from tui import faults
    from tui.wire import GatewayError, Unreachable, Wire

    wire = Wire(run.place.url, secret, timeout_s=run.flags.timeout_s, ca=run.place.ca, proxy=run.place.proxy)
    try:
        return [one["id"] for one in wire.send("GET", "/v1/models").body["data"]]
    except GatewayError as error:
        if error.status == 401:
            raise Fault(
                "this key does not work: it is unknown, disabled, expired or revoked",
                exit=FINDINGS,
                code="key_test_failed",
                status=401,
            ) from None
        if error.code == NOT_FROM_HERE:
            raise Fault(str(error), exit=FINDINGS, code=NOT_FROM_HERE, status=403) from None
        raise faults.said_no(error) from None
    except Unreachable as error:
        raise faults.not_reached(error) from None
    finally:
        wire.close()


def _works(run: Invocation, secret: str) -> bool:
    """A new key is known everywhere within half a second; a worker that has not heard of it asks for it. One that is only refused because
    of where we are works where it is meant to."""
    try:
        _models_of(run, secret)
    except Fault as fault:
        if fault.code == NOT_FROM_HERE:
            run.done(f"It is known, and refused here as --cidr says: {fault}")
            return True
        if fault.code != "key_test_failed":
            raise
        return False
    return True
