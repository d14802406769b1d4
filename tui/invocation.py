"""One run of a command: its flags, the gateway it talks to, how it asks, and where its answers go. Commands begin with `current()`."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any

import typer

from tui import contexts, faults
from tui.columns import ZONE, Column
from tui.faults import Fault, usage
from tui.flags import Flags, wants_color
from tui.output import Output, note, say
from tui.wire import Answer, GatewayError, Unreachable, Wire, quoted

API = "/admin/v1"
PAGE = 500


class Invocation:
    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        is_terminal = sys.stdout.isatty()
        self.out = Output(flags, wants_color(flags, is_terminal), is_terminal)
        ZONE[0] = self._zone
        self._place: contexts.Place | None = None
        self._wire: Wire | None = None
        self._plain: Wire | None = None
        self._gateway_zone: tzinfo | None = None
        self._told_context = False
        self._is_confirmed = False

    def _zone(self) -> tzinfo | None:
        """Of absolute times. The gateway says its own once a run; UTC where it can't be asked."""
        if self.flags.tz == "local":
            return None
        if self._gateway_zone is None:
            self._gateway_zone = UTC
            if self.flags.tz == "gateway":
                from zoneinfo import ZoneInfo

                with contextlib.suppress(
                    Fault, KeyError, ValueError
                ):  # KeyError: a zone that this machine does not know
                    name = self.get("/whoami")["timezone"]
                    self._gateway_zone = UTC if name == "UTC" else ZoneInfo(name)
        return self._gateway_zone

    # Where to

    @property
    def place(self) -> contexts.Place:
        if self._place is None:
            self._place = contexts.place(self.flags)
            if (
                self.flags.color == "auto"
                and self._place.color in ("always", "never")
                and not os.environ.get("NO_COLOR")
            ):
                self.out.is_colored = self._place.color == "always"
        return self._place

    def use(self, place: contexts.Place) -> None:
        """Talks to this place from now on (`login`, before there is a context)."""
        self._place, self._wire, self._plain = place, None, None

    @property
    def wire(self) -> Wire:
        """To the admin API."""
        if self._wire is None:
            self._wire = self._to(self.place.admin_url or self.place.url, self.place.token())
        return self._wire

    @property
    def plain_wire(self) -> Wire:
        """To what needs no admin token: /health, /metrics, /v1/models. The token stays at home."""
        if self._plain is None:
            self._plain = self._to(self.place.url, "")
        return self._plain

    def _to(self, url: str, token: str) -> Wire:
        return Wire(url, token, timeout_s=self.flags.timeout_s, ca=self.place.ca, proxy=self.place.proxy)

    def close(self) -> None:
        for wire in (self._wire, self._plain):
            if wire is not None:
                wire.close()

    @property
    def project(self) -> str:
        """Raises Fault when several were named."""
        if len(self.flags.projects) > 1:
            raise usage("this takes one project", "one -p; only what reads the log takes several")
        return self.flags.project or self.place.project

    @property
    def projects(self) -> list[str]:
        """For what takes several."""
        return self.flags.projects or ([self.project] if self.project else [])

    def needed_project(self) -> str:
        """Raises Fault when no project is named and there isn't exactly one."""
        if self.project:
            return self.project
        known = [one["slug"] for one in self.rows("/projects", limit=2)]
        if len(known) == 1:
            return str(known[0])
        raise usage(
            "which project? there is more than one" if known else "there is no project yet",
            "add -p PROJECT (or OPTYX_PROJECT)",
        )

    # Asking the gateway

    def get(self, path: str, **query: Any) -> Any:
        return self.ask("GET", path, query=query).body

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> Answer:
        """One call, sent again when nothing was answered and nothing can be done twice. Raises Fault."""
        is_plain = path.split("/")[1] in ("v1", "health", "metrics")
        full = path if is_plain or path.startswith("/admin/") else API + path
        wire = self.plain_wire if is_plain else self.wire
        tries = self.flags.retries + 1
        for number in range(1, tries + 1):
            began = time.monotonic()
            try:
                answer = wire.send(method, full, query=query, body=body, headers=headers)
            except GatewayError as error:
                self._trace(method, full, str(error.status), began)
                if number == tries or error.status != 503 or method == "PATCH":
                    raise faults.said_no(error) from None
            except Unreachable as error:
                self._trace(method, full, "no answer", began)
                is_repeatable = method in ("GET", "PUT", "DELETE") or (
                    method == "POST" and "idempotency-key" in (headers or {})
                )
                if number == tries or error.is_slow or not is_repeatable:
                    raise faults.not_reached(error) from None
            else:
                self._trace(method, full, str(answer.status), began)
                return answer
            time.sleep(min(2.0, 0.1 * 2**number) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable: the last try returns or raises")

    def _trace(self, method: str, path: str, what: str, began: float) -> None:
        if self.flags.verbose or self.flags.debug:
            say(f"{method} {self.place.url}{path}: {what} in {(time.monotonic() - began) * 1000:.0f} ms", self.flags)

    def rows(self, path: str, *, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
        """A list, page after page up to --limit; says on stderr when there is more."""
        most = self.flags.limit if limit is None else limit
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            size = PAGE if most < 0 else min(PAGE, most - len(found))
            page = self.get(path, **query, limit=size, cursor=cursor)
            found += page.get("data", []) if isinstance(page, dict) else page
            cursor = str((page.get("next") if isinstance(page, dict) else "") or "")
            if not cursor or 0 <= most <= len(found):
                break
        if most >= 0 and (cursor or len(found) > most) and limit is None:
            self.tell_cut(most, cursor)
        return found[:most] if most >= 0 else found

    def tell_cut(self, shown: int, cursor: str) -> None:
        if self.out.is_for_people:
            note(f"note: cut off after {shown}; --all shows every one", self.flags)
        else:
            import json

            sys.stderr.write(json.dumps({"truncated": True, "shown": shown, "next": cursor or None}) + "\n")

    def every(self, path: str, **query: Any) -> list[dict[str, Any]]:
        return self.rows(path, limit=-1, **query)

    # Changing something

    def change(
        self, method: str, path: str, body: Any = None, *, etag: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A change: says where on stderr first. With --dry-run it says what would be sent, and ends."""
        self.allow_change()
        self.tell_context()
        if self.flags.dry_run:
            self.dry(method, path, body)
        if self.place.guarded and not self._is_confirmed:
            self.confirm(f"this changes something through the guarded context {self.place.context}")
        sent: dict[str, str | bytes] = {"x-optyx-via": "cli", **(headers or {})}
        if self.flags.reason:
            sent["x-optyx-reason"] = self.flags.reason.encode()
        if etag:
            sent["if-match"] = etag
        if method == "POST":
            sent["idempotency-key"] = self.flags.idempotency_key or secrets.token_hex(16)
        return self.ask(method, path, body=body, headers=sent)

    def dry(self, method: str, path: str, body: Any = None) -> None:
        """What would be sent, on stdout."""
        import json

        shown = {name: "***" if name in ("credential", "token") else value for name, value in (body or {}).items()}
        if self.out.is_for_people:
            self.out.write(f"would send: {method} {API}{path}" + (f" {json.dumps(shown)}" if body is not None else ""))
        else:
            self.out.document({"dry_run": True, "method": method, "path": API + path, "body": body and shown})
        raise typer.Exit(0)

    def allow_change(self) -> None:
        if self.place.readonly:
            raise Fault(
                f"the context {self.place.context} is read-only: nothing can be changed through it",
                exit=faults.NOT_ALLOWED, code="readonly_context", hint="ctx edit NAME --no-readonly",
            )  # fmt: skip

    def tell_context(self) -> None:
        if not self._told_context:
            self._told_context = True
            note(f"context: {self.place.context} {self.place.url}", self.flags)

    @property
    def may_ask(self) -> bool:
        return sys.stdin.isatty() and not self.flags.no_input

    def confirm(self, effect: str, *, typed: str = "", is_final: bool = False) -> None:
        """Asks before something is done: yes or no, or `typed` by hand. The default is no. Without a terminal: flags, or exit 2.

        `is_final`: never in a guarded context without a terminal.
        """
        self.allow_change()
        self.tell_context()
        if self.flags.dry_run:
            return
        guard = self.place.context if self.place.guarded else ""
        wanted = guard or typed
        if guard and is_final and not self.may_ask:
            raise usage(
                f"the context {guard} is guarded: this needs a terminal and someone at it", code="guarded_context"
            )
        if self.flags.yes and (not wanted or self.flags.confirm == wanted):
            self._is_confirmed = True
            return
        if not self.may_ask:
            flags = "--yes" + (f" --confirm {wanted}" if wanted else "")
            raise usage(f"this would ask first ({effect}), and nobody can be asked here", f"add {flags}", "would_ask")
        say(effect, self.flags)
        if wanted:
            sys.stderr.write(f"type {wanted} to go on: ")
        else:
            sys.stderr.write("go on? [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip()
        if (answer != wanted) if wanted else (answer.lower() not in ("y", "yes")):
            raise Fault("nothing was changed", exit=faults.FAILED, code="declined")
        self._is_confirmed = True

    def done(self, text: str, undo: str = "") -> None:
        note(text, self.flags)
        if undo:
            note(f"undo: {undo}", self.flags)

    # Showing

    def list(
        self, records: Sequence[Mapping[str, Any]], columns: Sequence[Column], name: str = "id", empty: str = ""
    ) -> None:
        self.out.rows(records, columns, name, empty)

    def show(self, record: Mapping[str, Any], columns: Sequence[Column], name: str = "id") -> None:
        self.out.one(record, columns, name)

    def secret_from_stdin(self, what: str) -> str:
        """A secret comes over stdin or is typed unseen; never from the command line."""
        if sys.stdin.isatty():
            if self.flags.no_input:
                raise usage(f"{what} is read from stdin", 'printf %s "$SECRET" | optyx … ')
            import getpass

            value = getpass.getpass(f"{what}: ", sys.stderr)
        else:
            value = sys.stdin.readline()
        value = value.strip()
        if not value:
            raise usage(f"{what} is empty", "give it on stdin")
        return value


_current: list[Invocation] = []


def begin(flags: Flags) -> Invocation:
    _current[:] = [Invocation(flags)]
    return _current[0]


def end() -> None:
    """Closes what the run opened."""
    for run in _current:
        run.close()
    _current.clear()


def current() -> Invocation:
    return _current[0]


def words_of_stdin() -> Iterator[str]:
    for line in sys.stdin:
        if line.strip():
            yield line.strip()


def path_of(*parts: str) -> str:
    return "/" + "/".join(quoted(part) for part in parts)
