"""`optyx-tui --plain`: the dashboard as lines and numbered menus, for screen readers and terminals that can't redraw.

Nothing is ever drawn over. Every line says what it is: "Key 2 of 7: ci-deploy, active, expires in 2 days".
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tui import figures
from tui.calls import Client
from tui.launch import Options
from tui.session import session_for
from tui.widgets.line import visible
from tui.wire import GatewayError, Unreachable

Menu = list[tuple[str, Callable[[Client], None]]]


def run_plain(options: Options) -> int:
    """Returns the exit code: 0, or 3 when there is no gateway to talk to."""
    session = session_for(options)
    if session.connect is None:
        say(session.why_not)
        say("Start a gateway with: optyx up")
        return 3
    client = session.connect()
    say(f"Optyx, gateway {session.context} at {session.url}.")
    readonly = options.readonly or session.readonly
    while True:
        chosen = choose("Main menu", [title for title, _ in menu(readonly)])
        if chosen is None:
            say("Goodbye.")
            return 0
        try:
            menu(readonly)[chosen][1](client)
        except Unreachable as error:
            say(f"The gateway can't be reached: {error}")
        except GatewayError as error:
            say(f"The gateway said no: {error} ({error.code or error.status})")


def menu(readonly: bool) -> Menu:
    entries: Menu = [
        ("Overview", overview),
        ("Latest calls", logs),
        ("Projects", projects),
        ("Keys of a project", keys),
        ("Providers", providers),
        ("Limits and budgets", limits),
        ("Audit trail", audit),
    ]
    return (
        entries
        if readonly
        else [*entries, ("New project", new_project), ("New key", new_key), ("Disable or enable a key", switch_key)]
    )


def say(text: str) -> None:
    print(visible(text), flush=True)


def asked(question: str) -> str:
    """One line of input; nothing at the end of the input."""
    print(visible(question) + " ", end="", flush=True)
    return sys.stdin.readline().strip()


def choose(title: str, entries: list[str]) -> int | None:
    """A number, or None for 0, q and the end of input."""
    say("")
    say(f"{title}:")
    for number, entry in enumerate(entries, 1):
        say(f"{number}. {entry}")
    while True:
        answer = asked("Number, or 0 to go back:")
        if answer in ("", "0", "q"):
            return None
        if answer.isdigit() and 1 <= int(answer) <= len(entries):
            return int(answer) - 1
        say(f"There is no {answer!r}.")


def overview(client: Client) -> None:
    data = client.overview("15m")
    rates = data.rates
    say(f"Requests per second: {figures.rate(rates.requests_per_s)} over {data.window}.")
    say(f"Errors: {rates.errors} of {rates.requests} requests.")
    say(
        f"Latency: median {figures.duration(rates.latency_p50_ms)}, 95th percentile {figures.duration(rates.latency_p95_ms)}."
    )
    say(
        f"Time to first token: median {figures.duration(rates.ttft_p50_ms)}, 95th percentile {figures.duration(rates.ttft_p95_ms)}."
    )
    say(
        f"Spend today: {figures.dollars(data.spend.today_nusd)}. Yesterday: {figures.dollars(data.spend.yesterday_nusd)}."
    )
    say(f"In flight: {data.in_flight.calls} calls.")
    say(f"Needs attention: {len(data.attention) or 'nothing'}.")
    for number, one in enumerate(data.attention, 1):
        say(f"Attention {number} of {len(data.attention)}: {one.severity}, {one.title}. {one.detail}")


def logs(client: Client) -> None:
    text = asked("Filter, or nothing for all:")
    rows = client.logs(filter=text, limit=20).data
    say(f"{len(rows)} calls, newest first.")
    for number, row in enumerate(rows, 1):
        what = row.error_code or row.end_reason
        say(
            f"Call {number} of {len(rows)}: {row.created_at}, status {row.status}, {what}, model {row.model or row.requested_model or 'none'}, "
            f"project {row.project}, key {row.key}, took {figures.duration(row.latency_ms)}, cost {figures.cost(row.cost_nusd)}."
        )


def projects(client: Client) -> None:
    rows = client.projects()
    for number, one in enumerate(rows, 1):
        spent = f"{figures.dollars(one.today_nusd)} today, {figures.dollars(one.month_nusd)} this month"
        say(
            f"Project {number} of {len(rows)}: {one.name}, {one.status}, {one.keys_usable} usable keys of {one.keys_total}, {spent}."
        )
    if not rows:
        say("No projects yet.")


def _project(client: Client) -> str | None:
    rows = client.projects()
    chosen = choose("Which project", [one.name for one in rows])
    return None if chosen is None else rows[chosen].slug


def keys(client: Client) -> None:
    project = _project(client)
    if project is None:
        return
    rows = client.keys(project)
    for number, one in enumerate(rows, 1):
        say(
            f"Key {number} of {len(rows)}: {one.name}, {one.status}, expires {figures.until(one.expires_at)}, "
            f"last used {figures.ago(one.last_used_at)}, spent {figures.dollars(one.cost_nusd)}."
        )
    if not rows:
        say("No keys yet.")


def providers(client: Client) -> None:
    rows = client.providers()
    for number, one in enumerate(rows, 1):
        say(
            f"Provider {number} of {len(rows)}: {one.name}, {one.state}, circuit {one.circuit}, errors {figures.percent(one.error_share)} percent."
        )


def limits(client: Client) -> None:
    rows = client.limits().budgets
    for number, one in enumerate(rows, 1):
        share = one.spent_nusd / one.amount_nusd if one.amount_nusd else 0.0
        say(
            f"Budget {number} of {len(rows)}: {one.scope} {one.subject_name}, {figures.dollars(one.spent_nusd)} of "
            f"{figures.dollars(one.amount_nusd)} ({figures.percent(share, 0)} percent), resets {figures.minute(one.resets_at, 'never')}."
        )


def audit(client: Client) -> None:
    rows, _ = client.audit(limit=20)
    for number, one in enumerate(rows, 1):
        say(
            f"Entry {number} of {len(rows)}: {one.at}, {one.actor}, {one.action}, {one.object_type} {one.object_name}, {one.result}."
        )


def new_project(client: Client) -> None:
    name = asked("Name of the project, or nothing to go back:")
    if name:
        say(f"Project {client.create_project(name).name} made.")


def new_key(client: Client) -> None:
    project = _project(client)
    name = asked("Name of the key, or nothing to go back:") if project else ""
    if project and name:
        made = client.create_key(project, {"name": name})
        say(f"Key {made.name} made. It is shown once, on the next line.")
        print(made.key or "(made before: the secret is gone)", flush=True)


def switch_key(client: Client) -> None:
    project = _project(client)
    rows = client.keys(project) if project else []
    chosen = choose("Which key", [f"{one.name}, {one.status}" for one in rows]) if rows else None
    if chosen is None:
        return
    one = rows[chosen]
    verb = "enable" if one.status == "disabled" else "disable"
    if asked(f"To {verb} {one.name}, type its name:") == one.name:
        client.switch_key(one.id, verb == "enable")
        say(f"Done: {verb}d {one.name}.")
    else:
        say("Nothing was changed.")
