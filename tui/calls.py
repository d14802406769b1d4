"""One method per route of the admin API that the dashboard uses. Reads decode into the structs below `gateway.admin.schema`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from gateway.admin.schema.audit import AuditEntry, Chain
from gateway.admin.schema.keys import Key, NewKey
from gateway.admin.schema.limits import Limits, LimitsOverview
from gateway.admin.schema.logs import LogCount, LogDetail, LogPage
from gateway.admin.schema.models import Model, Tier
from gateway.admin.schema.overview import Overview
from gateway.admin.schema.people import Whoami
from gateway.admin.schema.projects import Project
from gateway.admin.schema.providers import Provider, ProviderTest
from gateway.admin.schema.record import Changed
from gateway.admin.schema.settings import Preview, Settings, SettingsVersion
from gateway.admin.schema.usage import Usage
from tui import trying
from tui.wire import Answer, GatewayError, Wire, quoted

T = TypeVar("T")
MOST_ROWS = 10_000
"""Of one list that a screen asks for: more is no list to look through."""


def read(body: Any, kind: type[T]) -> T:
    """A decoded body as a struct. A gateway of another version that speaks another shape is named, and not a crash."""
    try:
        return msgspec.convert(body, kind, strict=False)
    except msgspec.ValidationError as error:
        raise GatewayError(
            502, "unexpected_answer", f"the gateway answered in a shape this version does not know: {error}"
        ) from error


def read_list(body: Any, kind: type[T]) -> list[T]:
    rows = body.get("data", []) if isinstance(body, dict) else body
    return read(rows, list[kind])  # type: ignore[valid-type]


class Client(Wire):
    """Belongs to one thread."""

    def get(self, path: str, **query: Any) -> Answer:
        return self.send("GET", f"/admin/v1{path}", query=query)

    def write(self, method: str, path: str, body: Any = None, *, etag: str = "", key: str = "") -> Answer:
        headers: dict[str, str] = {"x-optyx-via": "tui"}
        if etag:
            headers["if-match"] = etag
        if method == "POST":
            headers["idempotency-key"] = key or secrets.token_hex(16)
        return self.send(method, f"/admin/v1{path}", body=body, headers=headers)

    def changed(self, method: str, path: str, body: Any = None, *, etag: str = "") -> Changed:
        answer = self.write(method, path, body, etag=etag)
        return read(answer.body if isinstance(answer.body, dict) else {}, Changed)

    # Reading

    def whoami(self) -> Whoami:
        return read(self.get("/whoami").body, Whoami)

    def overview(self, window: str) -> Overview:
        return read(self.get("/overview", window=window).body, Overview)

    def logs(self, **query: Any) -> LogPage:
        return read(self.get("/logs", **query).body, LogPage)

    def log_count(self, **query: Any) -> LogCount:
        return read(self.get("/logs/count", **query).body, LogCount)

    def log(self, request_id: str, bodies: bool = False) -> LogDetail:
        """`bodies`: captured ones are opened, which is written to the audit."""
        told = self.get(f"/logs/{quoted(request_id)}", bodies="true" if bodies else "false")
        return read(told.body, LogDetail)

    def _whole(self, path: str, kind: type[T], **query: Any) -> list[T]:
        """Every page of a list."""
        rows: list[T] = []
        cursor = ""
        while len(rows) < MOST_ROWS:
            body = self.get(path, limit=1000, cursor=cursor, **query).body
            rows += read_list(body, kind)
            cursor = str((body or {}).get("next") or "")
            if not cursor:
                break
        return rows

    def projects(self) -> list[Project]:
        return self._whole("/projects", Project)

    def keys(self, project: str) -> list[Key]:
        return self._whole(f"/projects/{quoted(project)}/keys", Key)

    def key(self, key_id: str) -> Key:
        return read(self.get(f"/keys/{quoted(key_id)}").body, Key)

    def settings(self, project: str) -> tuple[Settings, str]:
        """The settings and their ETag."""
        answer = self.get(f"/projects/{quoted(project)}/settings")
        return read(answer.body, Settings), answer.etag

    def settings_history(self, project: str) -> list[SettingsVersion]:
        return read_list(self.get(f"/projects/{quoted(project)}/settings/history").body, SettingsVersion)

    def preview(self, project: str, body: Mapping[str, Any]) -> Preview:
        return read(self.write("POST", f"/projects/{quoted(project)}/settings:preview", body).body, Preview)

    def limits(self) -> LimitsOverview:
        """All of them, page after page."""
        told = read(self.get("/limits", limit=1000).body, LimitsOverview)
        while told.next is not None:
            page = read(self.get("/limits", limit=1000, cursor=told.next).body, LimitsOverview)
            told.budgets, told.rates, told.next = told.budgets + page.budgets, told.rates + page.rates, page.next
        return told

    def limits_of(self, scope: str, subject: str) -> tuple[Limits, str]:
        answer = self.get(f"/{scope}s/{quoted(subject)}/limits")
        return read(answer.body, Limits), answer.etag

    def usage(self, **query: Any) -> Usage:
        return read(self.get("/usage", **query).body, Usage)

    def providers(self) -> list[Provider]:
        return read_list(self.get("/providers").body, Provider)

    def models(self, provider: str = "") -> list[Model]:
        return self._whole("/models", Model, provider=provider)

    def tiers(self) -> list[Tier]:
        return read_list(self.get("/tiers").body, Tier)

    def audit(self, text: str = "", cursor: str = "", limit: int = 200) -> tuple[list[AuditEntry], str]:
        body = self.get("/audit", filter=text, cursor=cursor, limit=limit).body
        return read_list(body, AuditEntry), str((body or {}).get("next") or "")

    def verify_audit(self) -> Chain:
        return read(self.get("/audit/verify").body, Chain)

    # Changing

    def create_project(self, name: str) -> Project:
        return read(self.write("POST", "/projects", {"name": name}).body, Project)

    def update_project(self, project: str, **fields: Any) -> Changed:
        return self.changed("PATCH", f"/projects/{quoted(project)}", fields)

    def archive_project(self, project: str) -> Changed:
        return self.changed("POST", f"/projects/{quoted(project)}/archive")

    def create_key(self, project: str, body: Mapping[str, Any]) -> NewKey:
        return read(self.write("POST", f"/projects/{quoted(project)}/keys", body).body, NewKey)

    def rotate_key(self, key_id: str, grace_s: int, public_id: str) -> NewKey:
        """`public_id`: of the secret that was seen. A key that somebody else has rotated meanwhile is left alone."""
        body = {"grace_s": grace_s, "public_id": public_id}
        return read(self.write("POST", f"/keys/{quoted(key_id)}/rotate", body).body, NewKey)

    def switch_key(self, key_id: str, on: bool) -> Changed:
        return self.changed("POST", f"/keys/{quoted(key_id)}/{'enable' if on else 'disable'}")

    def revoke_key(self, key_id: str) -> Changed:
        return self.changed("DELETE", f"/keys/{quoted(key_id)}")

    def save_settings(self, project: str, body: Mapping[str, Any], etag: str) -> Changed:
        return self.changed("PATCH", f"/projects/{quoted(project)}/settings", body, etag=etag)

    def restore_settings(self, project: str, version: int) -> Changed:
        return self.changed("POST", f"/projects/{quoted(project)}/settings:restore", {"version": version})

    def save_limits(self, scope: str, subject: str, body: Mapping[str, Any], etag: str = "") -> Changed:
        return self.changed("PUT", f"/{scope}s/{quoted(subject)}/limits", body, etag=etag)

    def raise_budget(self, budget_id: str, add_usd: str, until: str, reason: str) -> Changed:
        return self.changed(
            "POST",
            f"/budgets/{quoted(budget_id)}/raise",
            {"add_usd": add_usd, "until": until, "reason": reason or None},
        )

    def test_provider(self, provider: str) -> Iterator[ProviderTest]:
        """What is known of each step, again and again until all are decided. Raises GatewayError and Unreachable."""
        for known in trying.told(self, provider, {"chat": True}):
            yield read(known, ProviderTest)

    def close_circuit(self, provider: str) -> Changed:
        return self.changed("POST", f"/providers/{quoted(provider)}/circuit/close")

    def update_provider(self, provider: str, **fields: Any) -> Changed:
        return self.changed("PATCH", f"/providers/{quoted(provider)}", fields)

    def undo(self, audit_id: str) -> Changed:
        return self.changed("POST", f"/undo/{quoted(audit_id)}")
