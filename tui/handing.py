"""A secret's one way out: to a pipe, a terminal, a file or the clipboard. If none takes it, its key is disabled: no orphan nobody holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tui import figures
from tui.ending import discard
from tui.faults import Fault, usage
from tui.invocation import Invocation, path_of
from tui.output import note

NO_CLIPBOARD = "--out-file PATH writes it to a file (0600); without --copy it goes to stdout; optyx doctor says why"
FORMS = ("raw", "env", "json")


def check_way(form: str, out_file: str) -> None:
    """Before a key is made. Raises Fault."""
    if form not in FORMS:
        raise usage(f"--format {form}: it is {', '.join(FORMS)}")
    if out_file and Path(out_file).exists():
        raise Fault(f"{out_file} exists already: no key was made", code="file_exists", hint="name a new file")


def hand_over(run: Invocation, made: dict[str, Any], out_file: str, copy: bool, form: str, kind: str = "keys") -> None:
    """`kind`: keys or tokens. Raises Fault (exit 1), after taking the key back, when its secret could not be handed over."""
    secret = str(made.get("key" if kind == "keys" else "token") or "")
    if not secret:
        raise Fault(
            "the gateway did not give a secret: this was done before",
            exit=6,
            code="secret_gone",
            hint="optyx keys rotate makes another" if kind == "keys" else "optyx tokens create makes another",
        )
    try:
        _hand(run, made, secret, out_file, copy, form, kind)
    except (OSError, ValueError) as error:
        _take_back(run, made, error, kind, NO_CLIPBOARD if copy else "repeat the command where its output can be taken")


def _hand(run: Invocation, made: dict[str, Any], secret: str, out_file: str, copy: bool, form: str, kind: str) -> None:
    if out_file:
        with open(os.open(out_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(_form(run, made, secret, form) + "\n")
        _print(out_file)
        _tell(run, made, kind)
    elif copy:
        _copy(run, secret)
        _tell(run, made, kind)
    elif run.flags.output in ("json", "yaml", "ndjson") or form == "json":
        note("note: this answer holds a secret; it is shown once", run.flags)
        run.out.document({**made, "secret": secret}) if form != "json" else _print(_form(run, made, secret, form))
        sys.stdout.flush()
    elif form == "env" or not sys.stdout.isatty():
        _print(_form(run, made, secret, form))
        _tell(run, made, kind)
    else:
        _frame(run, made, secret, kind)


def _form(run: Invocation, made: dict[str, Any], secret: str, form: str) -> str:
    if form == "env":
        return f"OPENAI_API_KEY={secret}\nOPENAI_BASE_URL={run.place.url}/v1"
    if form == "json":
        import json

        return json.dumps({**made, "secret": secret})
    return secret


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _copy(run: Invocation, secret: str) -> None:
    from tui.clipboard import NotCopied, copy

    def write(text: str) -> None:
        try:
            with open("/dev/tty", "w", encoding="ascii") as terminal:
                terminal.write(text)
        except OSError:
            raise NotCopied("there is no terminal here to send it to") from None

    try:
        run.done(f"The key was {copy(secret, write_terminal=write)}.")
    except NotCopied as error:
        raise OSError(str(error)) from None


def _tell(run: Invocation, made: dict[str, Any], kind: str) -> None:
    ends = figures.minute(made.get("expires_at"), "never")
    if kind == "tokens":
        run.done(f"Token {made['name']} ({made['id']}), {made.get('role')}; expires: {ends}.")
        run.done("It is shown once; the gateway keeps only a digest.")
        return
    whose = made.get("project") or made.get("project_id")
    limits = figures.key_limits(made)
    run.done(
        f"Key {made['name']} ({made['id']}, sk-optyx-{made.get('public_id', '')}) of {whose}; expires: {ends}"
        + (f"; limits: {limits}." if limits else ".")
    )
    run.done("Its secret is shown once; the gateway keeps only a digest.")


def _frame(run: Invocation, made: dict[str, Any], secret: str, kind: str) -> None:
    flat = run.flags.ascii or run.flags.accessible
    bar = ("-" if flat else "─") * (len(secret) + 2)
    corners = ("+", "+", "+", "+", "|") if flat else ("┌", "┐", "└", "┘", "│")
    if run.flags.accessible:
        _print(f"{'Key' if kind == 'keys' else 'Token'}: {secret}")
    else:
        _print(f"{corners[0]}{bar}{corners[1]}\n{corners[4]} {secret} {corners[4]}\n{corners[2]}{bar}{corners[3]}")
    _tell(run, made, kind)
    if kind == "tokens":
        run.done(f"next: optyx login {run.place.url} asks for it and keeps it")
        return
    run.done(
        f"next: export OPENAI_API_KEY=…  OPENAI_BASE_URL={run.place.url}/v1   (or: optyx keys rotate {made['id']} --format env)"
    )


def _take_back(run: Invocation, made: dict[str, Any], error: Exception, kind: str, hint: str) -> None:
    thing, gone = ("key", "disabled") if kind == "keys" else ("token", "revoked")
    reason = "the reader closed the pipe" if isinstance(error, BrokenPipeError) else str(error)
    discard(sys.stdout)  # the secret of a disabled key must not go out later
    try:
        if kind == "keys":
            run.change("POST", path_of("keys", str(made["id"]), "disable"))
        else:
            run.change("DELETE", path_of(kind, str(made["id"])))
    except Fault as fault:
        raise Fault(
            f"the new {thing} {made['name']} could not be handed over ({reason}), and could not be {gone}: {fault.message}",
            code="key_orphaned", hint=f"optyx keys disable {made['id']}" if kind == "keys" else f"optyx tokens revoke {made['id']}",
        ) from None  # fmt: skip
    raise Fault(
        f"the new {thing} {made['name']} could not be handed over ({reason}): it is {gone}, so that no {thing} exists that nobody holds",
        code="key_not_handed_over", hint=hint,
    ) from None  # fmt: skip
