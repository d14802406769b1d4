"""`optyx doctor`: everything a user could have wrong, with or without a gateway: what, why it matters, the exact fix."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from tui.checks import local, terminal
from tui.checks.finding import Finding, skipped
from tui.columns import Column, state
from tui.faults import FINDINGS, Fault, usage
from tui.invocation import Invocation, current

doctor = typer.Typer()

GROUPS = {
    "local": "local",
    "gateway": "gateway",
    "net": "net",
    "stream": "stream",
    "auth": "auth",
    "terminal": "terminal",
    "term": "terminal",
}
COLUMNS = [state("RESULT", "state"), Column("GROUP", "group"), Column("CHECK", "check"), Column("WHAT", "what")]


@doctor.command()
def doctor_command(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe and on this machine.")] = False,
    only: Annotated[str, typer.Option("--only", help="local, gateway, net, stream, auth, terminal; commas.")] = "",
) -> None:
    """Look for what is wrong. Exit status 0: nothing; 9: findings, each with why it matters and how to mend it."""
    run = current()
    run.flags.retries = 0
    unknown = [name for name in only.split(",") if only and name not in GROUPS]
    if unknown:
        raise usage(
            f"--only {unknown[0]}: there is no such group", f"they are {', '.join(dict.fromkeys(GROUPS.values()))}"
        )
    groups = {GROUPS[name] for name in only.split(",")} if only else set(GROUPS.values())
    findings = list(examined(run, groups))
    if fix:
        findings = [_mended(run, one) for one in findings]
    _show(run, findings)
    if any(one.state == "problem" for one in findings):
        raise typer.Exit(FINDINGS)


def _mended(run: Invocation, one: Finding) -> Finding:
    if one.state != "problem" or one.mend is None:
        return one
    did = one.mend()
    run.done(f"fixed: {did}")
    return Finding(one.group, one.check, "ok", did)


def _show(run: Invocation, findings: list[Finding]) -> None:
    problems = [one for one in findings if one.state == "problem"]
    if not run.out.is_for_people:
        if run.out.format in ("json", "yaml"):
            run.out.document(
                {"ok": not problems, "findings": len(problems), "checks": [one.told() for one in findings]}
            )
        else:
            run.list([one.told() for one in findings], COLUMNS, "check")
        return
    run.list([one.told() for one in findings], COLUMNS, "check")
    for one in problems:
        run.out.line("")
        run.out.line(f"{one.group}: {one.what}")
        run.out.line(f"  why: {one.why}")
        run.out.line(f"  fix: {one.fix}")
    run.done(f"{len(problems)} finding{'s' * (len(problems) != 1)}." if problems else "Nothing is wrong.")


def examined(run: Invocation, groups: set[str]) -> Iterator[Finding]:
    """Group by group. A check that fails itself says so, and the others go on."""
    for group, name, check in _checks(run, groups):
        if group in groups or (group == "net" and groups & {"stream", "auth", "gateway"}):
            for one in _safely(group, name, check):
                if one.group in groups:
                    yield one


def _safely(group: str, name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Fault as fault:
        yield skipped(group, name, f"Could not be checked: {fault.message}")
    except Exception as error:  # a check must never hide the others
        yield skipped(
            group, name, f"Could not be checked: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        )


def _checks(run: Invocation, groups: set[str]) -> Iterator[tuple[str, str, Callable[[], Iterator[Finding]]]]:
    from tui import contexts

    home = contexts.home()
    yield "local", "python", local.python
    yield "local", "environment", local.variables
    yield "local", "home", lambda: local.data_folder(home)
    yield "local", "secrets", lambda: local.secret_files(home)
    yield "local", "path", local.on_path
    yield "local", "completion", local.completion
    is_ours, is_reached = _place_of(run)
    if is_ours and "gateway" in groups:
        yield from _services()
    if is_reached:
        from tui.checks import reached, serving

        way = reached.Way()
        yield "net", "way", lambda: reached.net(run, way)
        yield "auth", "token", lambda: reached.auth(run, way)
        yield "stream", "events", lambda: reached.stream(run, way)
        yield "gateway", "gateway", lambda: serving.gateway(run, way.is_there)
        is_reached = way.is_there
    if is_ours and not is_reached and "gateway" in groups:
        yield from _provider_keys()
    yield "terminal", "terminal", terminal.basics
    yield "terminal", "tmux", terminal.tmux
    yield "terminal", "screen", terminal.screen
    yield "terminal", "clipboard", terminal.clipboard


def _place_of(run: Invocation) -> tuple[bool, bool]:
    """Is the gateway meant to be on this machine; and is one named at all?"""
    from urllib.parse import urlsplit

    try:
        host = urlsplit(run.place.url).hostname
    except Fault:
        return True, False
    return host in ("127.0.0.1", "localhost", "::1"), True


def _provider_keys() -> Iterator[tuple[str, str, Callable[[], Iterator[Finding]]]]:
    from gateway import config
    from tui.checks import services

    with contextlib.suppress(config.ConfigError):  # said by local.variables
        read = config.load()
        yield "gateway", "providers", lambda: services.provider_keys(read)


def _services() -> Iterator[tuple[str, str, Callable[[], Iterator[Finding]]]]:
    from gateway import config
    from tui.checks import services

    try:
        read = config.load()
    except config.ConfigError:
        return  # said by local.variables
    yield "gateway", "port", lambda: services.port(read)
    yield "gateway", "postgres", lambda: services.postgres(read)
    yield "gateway", "redis", lambda: services.redis(read)
