"""One method per route of the admin API that the dashboard uses. Reads decode into the structs of `gateway.admin.schema`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from gateway.admin import schema
from tui.wire import Answer, EventStream, GatewayError, Wire, quoted

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

    def changed(self, method: str, path: str, body: Any = None, *, etag: str = "") -> schema.Changed:
        answer = self.write(method, path, body, etag=etag)
        return read(answer.body if isinstance(answer.body, dict) else {}, schema.Changed)

    # Reading

    def whoami(self) -> schema.Whoami:
        return read(self.get("/whoami").body, schema.Whoami)

    def overview(self, window: str) -> schema.Overview:
        return read(self.get("/overview", window=window).body, schema.Overview)

    def logs(self, **query: Any) -> schema.LogPage:
        return read(self.get("/logs", **query).body, schema.LogPage)

    def log_count(self, **query: Any) -> schema.LogCount:
        return read(self.get("/logs/count", **query).body, schema.LogCount)

    def log(self, request_id: str, bodies: bool = False) -> schema.LogDetail:
        """`bodies`: captured ones are opened, which is written to the audit."""
        told = self.get(f"/logs/{quoted(request_id)}", bodies="true" if bodies else "false")
        return read(told.body, schema.LogDetail)

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

    def projects(self) -> list[schema.Project]:
        return self._whole("/projects", schema.Project)

    def keys(self, project: str) -> list[schema.Key]:
        return self._whole(f"/projects/{quoted(project)}/keys", schema.Key)

    def key(self, key_id: str) -> schema.Key:
        return read(self.get(f"/keys/{quoted(key_id)}").body, schema.Key)

    def settings(self, project: str) -> tuple[schema.Settings, str]:
        """The settings and their ETag."""
        answer = self.get(f"/projects/{quoted(project)}/settings")
        return read(answer.body, schema.Settings), answer.etag

    def settings_history(self, project: str) -> list[schema.SettingsVersion]:
        return read_list(self.get(f"/projects/{quoted(project)}/settings/history").body, schema.SettingsVersion)

    def preview(self, project: str, body: Mapping[str, Any]) -> schema.Preview:
        return read(self.write("POST", f"/projects/{quoted(project)}/settings:preview", body).body, schema.Preview)

    def limits(self) -> schema.LimitsOverview:
        """All of them, page after page."""
        told = read(self.get("/limits", limit=1000).body, schema.LimitsOverview)
        while told.next is not None:
            page = read(self.get("/limits", limit=1000, cursor=told.next).body, schema.LimitsOverview)
            told.budgets, told.rates, told.next = told.budgets + page.budgets, told.rates + page.rates, page.next
        return told

    def limits_of(self, scope: str, subject: str) -> tuple[schema.Limits, str]:
        answer = self.get(f"/{scope}s/{quoted(subject)}/limits")
        return read(answer.body, schema.Limits), answer.etag

    def usage(self, **query: Any) -> schema.Usage:
        return read(self.get("/usage", **query).body, schema.Usage)

    def providers(self) -> list[schema.Provider]:
        return read_list(self.get("/providers").body, schema.Provider)

    def models(self, provider: str = "") -> list[schema.Model]:
        return self._whole("/models", schema.Model, provider=provider)

    def tiers(self) -> list[schema.Tier]:
        return read_list(self.get("/tiers").body, schema.Tier)

    def audit(self, text: str = "", cursor: str = "", limit: int = 200) -> tuple[list[schema.AuditEntry], str]:
        body = self.get("/audit", filter=text, cursor=cursor, limit=limit).body
        return read_list(body, schema.AuditEntry), str((body or {}).get("next") or "")

    def verify_audit(self) -> schema.Chain:
        return read(self.get("/audit/verify").body, schema.Chain)

    # Changing

    def create_project(self, name: str) -> schema.Project:
        return read(self.write("POST", "/projects", {"name": name}).body, schema.Project)

    def update_project(self, project: str, **fields: Any) -> schema.Changed:
        return self.changed("PATCH", f"/projects/{quoted(project)}", fields)

    def archive_project(self, project: str) -> schema.Changed:
        return self.changed("POST", f"/projects/{quoted(project)}/archive")

    def create_key(self, project: str, body: Mapping[str, Any]) -> schema.NewKey:
        return read(self.write("POST", f"/projects/{quoted(project)}/keys", body).body, schema.NewKey)

    def rotate_key(self, key_id: str, grace_s: int) -> schema.NewKey:
        return read(self.write("POST", f"/keys/{quoted(key_id)}/rotate", {"grace_s": grace_s}).body, schema.NewKey)

    def switch_key(self, key_id: str, on: bool) -> schema.Changed:
        return self.changed("POST", f"/keys/{quoted(key_id)}/{'enable' if on else 'disable'}")

    def revoke_key(self, key_id: str) -> schema.Changed:
        return self.changed("DELETE", f"/keys/{quoted(key_id)}")

    def save_settings(self, project: str, body: Mapping[str, Any], etag: str) -> schema.Changed:
        return self.changed("PATCH", f"/projects/{quoted(project)}/settings", body, etag=etag)

    def restore_settings(self, project: str, version: int) -> schema.Changed:
        return self.changed("POST", f"/projects/{quoted(project)}/settings:restore", {"version": version})

    def save_limits(self, scope: str, subject: str, body: Mapping[str, Any], etag: str = "") -> schema.Changed:
        return self.changed("PUT", f"/{scope}s/{quoted(subject)}/limits", body, etag=etag)

    def raise_budget(self, budget_id: str, add_usd: str, until: str, reason: str) -> schema.Changed:
        return self.changed(
            "POST",
            f"/budgets/{quoted(budget_id)}/raise",
            {"add_usd": add_usd, "until": until, "reason": reason or None},
        )

    def test_provider(self, provider: str) -> Iterator[schema.ProviderTest]:
        """What is known of each step, again and again until all are decided. Raises GatewayError and Unreachable."""
        path = f"/admin/v1/providers/{quoted(provider)}/test"
        stream = EventStream(self, path, {}, body={"chat": True, "stream": True})
        for event, _, data in stream.events():
            body = msgspec.json.decode(data)
            if event == "error":
                raise GatewayError(500, str(body["error"]["code"]), str(body["error"]["message"]))
            yield read(body, schema.ProviderTest)
            if event == "done":
                return

    def close_circuit(self, provider: str) -> schema.Changed:
        return self.changed("POST", f"/providers/{quoted(provider)}/circuit/close")

    def update_provider(self, provider: str, **fields: Any) -> schema.Changed:
        return self.changed("PATCH", f"/providers/{quoted(provider)}", fields)

    def undo(self, audit_id: str) -> schema.Changed:
        return self.changed("POST", f"/undo/{quoted(audit_id)}")
