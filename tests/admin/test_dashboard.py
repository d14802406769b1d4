"""The dashboard's client against the real API: every method it has, on a gateway that has answered calls."""

import asyncio
import base64
import secrets

import pytest

from gateway.admin.schema.record import Changed
from tests.upstream import whole
from tui.calls import Client
from tui.wire import GatewayError


async def test_every_call_of_the_dashboard_is_answered(make_gateway):
    gateway = await make_gateway(OPTYX_SECRET_KEY=base64.b64encode(secrets.token_bytes(32)).decode())
    request_id = (await gateway.chat(model="gpt-6-luna")).request_id
    await gateway.row(request_id)
    gateway.upstream.enqueue(whole({"data": []}))
    client = Client(gateway.url, await gateway.token())
    await asyncio.to_thread(_walk, client, request_id)
    client.close()


def _walk(client: Client, request_id: str) -> None:
    assert client.whoami().role == "owner"
    project = client.create_project("Acme")
    assert (project.slug, project.status) == ("acme", "active")
    assert client.update_project("acme", name="ACME").audit_id
    assert {one.slug for one in client.projects()} == {"default", "acme"}

    made = client.create_key("acme", {"name": "ci", "expires_at": "2030-01-01T00:00:00Z"})
    assert made.key
    turned = client.rotate_key(made.id, 3600, made.public_id)
    assert turned.key != made.key
    assert client.key(made.id).status == "grace"
    off = client.switch_key(made.id, False)
    assert client.key(made.id).status == "disabled"
    assert client.undo(off.audit_id or "").audit_id
    assert [one.status for one in client.keys("acme")] == ["grace"]
    assert client.revoke_key(made.id).audit_id

    settings, etag = client.settings("acme")
    assert settings.allowed_models is None
    preview = client.preview("acme", {"allowed_models": ["gpt-*"], "timezone": "Mars/Base"})
    assert [one.field for one in preview.problems] == ["timezone"]
    assert client.save_settings("acme", {"allowed_models": ["gpt-*"]}, etag).audit_id
    with pytest.raises(GatewayError) as stale:
        client.save_settings("acme", {"allowed_models": None}, etag)
    assert (stale.value.status, stale.value.code) == (412, "precondition_failed")
    assert len(client.settings_history("acme")) == 2
    assert client.restore_settings("acme", 1).audit_id

    _, etag = client.limits_of("project", "acme")
    budgets = [{"amount_usd": "5", "window": "1mo"}]
    assert client.save_limits(
        "project", "acme", {"rpm": 60, "tpm": None, "concurrency": None, "budgets": budgets}, etag
    ).audit_id
    (budget,) = client.limits().budgets
    assert client.raise_budget(budget.id, "10", "2030-01-01T00:00:00Z", "launch").audit_id
    assert client.limits().budgets[0].raise_nusd == 10_000_000_000

    assert {one.name for one in client.providers()} >= {"openai", "google", "anthropic"}
    *_, tested = client.test_provider("openai")
    assert {step.name for step in tested.steps} >= {"configuration", "auth"}
    assert client.update_provider("openai", enabled=False).audit_id
    assert client.update_provider("openai", enabled=True).audit_id
    assert client.close_circuit("openai").audit_id
    assert {one.id for one in client.models("openai")} >= {"gpt-6-luna"}
    assert [one.name for one in client.tiers()] == ["fast", "smart", "embedding"]

    assert client.log(request_id).model == "gpt-6-luna"
    assert client.log_count().matched >= 1
    assert client.usage(group_by="project").total.requests >= 1

    archived = client.archive_project("acme")
    assert isinstance(archived, Changed)
    entries, following = client.audit(limit=5)
    assert len(entries) == 5
    older, _ = client.audit(cursor=following, limit=5)
    assert {one.id for one in entries}.isdisjoint(one.id for one in older)
    assert client.audit("action:project.archive")[0][0].object_name == "ACME"
    chain = client.verify_audit()
    assert chain.ok
    assert chain.entries > 10
