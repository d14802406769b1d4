"""Every way to be refused has one shape, and says what to do."""

import asyncio
import json

import asyncpg
import pytest

from gateway.keyring import digest
from gateway.store import catalog as catalog_rows

GOOD = {"messages": [{"role": "user", "content": "Hi"}]}


def shape(answered):
    error = answered.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["x-request-id"]
    return answered.status, error["code"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b"", 400, "invalid_json"),
        (b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}', 400, "invalid_json"),
        (b'{"messages":[{"role":"user","content":"x"}],"temperature":Infinity}', 400, "invalid_json"),
        (b'{"messages":[{"role":"user","content":"\xff"}]}', 400, "invalid_json"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', 400, "invalid_json"),
        (b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "invalid_json"),
        (b'{"messages":[{"role":"user","content":"x"}],"model":"a","model":"b"}', 400, "duplicate_key"),
        (b'{"messages":[{"role":"user","content":"x"}],"model":"a","m\\u006fdel":"b"}', 400, "duplicate_key"),
        (b'{ "messages" : [{"role":"user","content":"x"}],\n"model":"a", "model":"b"}', 400, "duplicate_key"),
        (b'{"messages":[]}', 400, "invalid_request"),
        (b"{}", 400, "invalid_request"),
        (b'{"messages":[{"role":"user","content":"x"}],"model":7}', 400, "invalid_request"),
        (b'{"messages":[{"role":"user","content":"x"}],"model":"a b"}', 400, "invalid_request"),
        (b'{"messages":[{"role":"user","content":"x"}],"stream":"yes"}', 400, "invalid_request"),
        (b'{"messages":[{"role":"user","content":"x"}],"n":0}', 400, "invalid_request"),
        (b'{"messages":[{"role":"user","content":"x"}],"max_tokens":-1}', 400, "invalid_request"),
        (b'{"messages":[{"role":"user","content":"x"}],"model":"no-such-model"}', 404, "model_not_found"),
        (b'{"messages":[{"role":"user","content":"x"}],"model":"gemini-embedding-001"}', 400, "invalid_request"),
        (
            b'{"messages":[{"role":"user","content":"x"}],"model":"gemini-4-argon","logit_bias":{"1":2}}',
            400,
            "unsupported_parameter",
        ),
    ],
)
async def test_a_bad_body_is_refused_with_the_reason(gateway, body, status, code):
    answered = await gateway.post("/v1/chat/completions", body)
    assert shape(answered) == (status, code)
    assert gateway.upstream.seen == []


async def test_bodies_that_only_look_odd_are_fine(gateway):
    for body in (
        b'{ "messages": [{"role":"user","content":"x"}] }',
        b'{"messages": [{"role": "user", "content": "x"}], "n": 1}',
        '{"messages":[{"role":"user","content":"ä\\ud83d\\ude00"}]}'.encode(),
        b'\r\n{"messages":[{"role":"user","content":"x"}],\t"\\u0078":1}',
    ):
        assert (await gateway.post("/v1/chat/completions", body)).status == 200


async def test_one_401_for_every_way_a_key_can_be_wrong(gateway):
    good = gateway.key
    disabled, expired, other = (
        await gateway.new_key("disabled"),
        await gateway.new_key("expired"),
        await gateway.new_key("revoked"),
    )
    await gateway.db.execute("UPDATE api_keys SET disabled_at = now() WHERE name = 'disabled'")
    await gateway.db.execute("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE name = 'expired'")
    await gateway.execute("UPDATE api_keys SET revoked_at = now() WHERE name = 'revoked'")
    mistyped = good[:-1] + ("0" if good[-1] != "0" else "1")
    unknown = "sk-optyx-0000000000-" + "0" * 38
    answers = set()
    for key in (disabled, expired, other, mistyped, unknown, "", "x", "sk-optyx-admin-1", "ö"):
        gateway.key = key
        answered = await gateway.chat()
        assert shape(answered) == (401, "invalid_api_key")
        answers.add(answered.body)
    assert len(answers) == 1
    gateway.key = good
    assert (await gateway.chat()).status == 200
    async with gateway.session.post(
        gateway.url + "/v1/chat/completions", json=GOOD, headers={"x-api-key": good}
    ) as response:
        assert response.status == 200
    async with gateway.session.post(
        gateway.url + "/chat/completions", json=GOOD, headers={"authorization": f"bEaReR {good}"}
    ) as response:
        assert response.status == 200


async def test_a_new_key_works_at_once_and_a_disabled_one_stops(gateway):
    old, gateway.key = gateway.key, await gateway.new_key("fresh")
    assert (await gateway.chat()).status == 200
    await gateway.db.execute("UPDATE api_keys SET disabled_at = now() WHERE name = 'fresh'")
    async with asyncio.timeout(0.5):
        while (await gateway.chat()).status == 200:
            await asyncio.sleep(0.01)
    gateway.key = old
    assert (await gateway.chat()).status == 200


async def test_a_worker_claims_no_change_that_it_has_not_read(gateway, database_url, monkeypatch):
    """Two keys stop, the second just before the worker reads the first."""
    first, second = await gateway.new_key("first"), await gateway.new_key("second")
    await gateway.changed()
    refresh, read_keys = gateway.worker.refresh, catalog_rows.read_keys
    assert {digest(first.encode()), digest(second.encode())} <= refresh.catalog.keys.keys()
    operator = await asyncpg.connect(database_url)
    seen = []
    refresh.on_change.append(
        lambda catalog: seen.append((catalog.epoch, catalog.keys[digest(second.encode())].disabled))
    )

    async def late(connection, ids=None):
        monkeypatch.setattr(catalog_rows, "read_keys", read_keys)
        await operator.execute("UPDATE api_keys SET revoked_at = now() WHERE name = 'second'")
        return await read_keys(connection, ids)

    monkeypatch.setattr(catalog_rows, "read_keys", late)
    await gateway.execute("UPDATE api_keys SET revoked_at = now() WHERE name = 'first'")
    await gateway.changed()
    await operator.close()
    epoch = await gateway.db.fetchval("SELECT value FROM catalog_epoch")
    assert seen[-1] == (epoch, True)
    assert (epoch, False) not in seen


async def test_a_key_s_first_call_waits_for_the_news_of_its_project(gateway):
    """Made together they may be heard of one after the other; here the project's notification is lost altogether."""
    await gateway.db.execute("SET session_replication_role = replica")  # no trigger runs
    await gateway.db.execute(
        "INSERT INTO projects (id, org_id, name, slug) VALUES ('prj_new', $1, 'new', 'new')", gateway.org_id
    )
    gateway.key = await gateway.new_key("first", "prj_new")
    await gateway.db.execute("RESET session_replication_role")
    assert [answered.status for answered in await asyncio.gather(*(gateway.chat() for _ in range(3)))] == [200] * 3


async def test_the_allow_list_holds_for_names_targets_and_the_list_of_models(gateway):
    await gateway.execute("UPDATE project_settings SET allowed_models = '{gemini-3.5-flash-lite}'")
    assert (await gateway.chat()).headers["x-optyx-provider"] == "google"
    assert shape(await gateway.chat(model="gpt-6-luna")) == (403, "model_not_allowed")
    assert shape(await gateway.chat(headers={"x-optyx-tier": "smart"})) == (403, "model_not_allowed")
    listed = await gateway.get("/v1/models", gateway.headers())
    assert {model["id"] for model in listed.json["data"]} == {"fast", "gemini-3.5-flash-lite"}
    assert (await gateway.get("/v1/models/gpt-6-luna", gateway.headers())).status == 404
    assert (await gateway.get("/v1/models/gpt-6-luna")).status == 200
    assert (await gateway.get("/v1/models", {"authorization": "Bearer nonsense"})).status == 401


async def test_headers_of_ours_are_checked_and_never_ignored(gateway):
    for name, value in (
        ("x-optyx-tier", "turbo"),
        ("x-optyx-user", "x" * 257),
        ("x-optyx-tags", ",".join(f"t{n}" for n in range(17))),
        ("x-optyx-tags", "a b"),
        ("x-optyx-max-cost-usd", "much"),
    ):
        assert shape(await gateway.chat(headers={name: value}))[0] == 400, name
    answered = await gateway.chat(
        headers={"x-optyx-tier": "SMART", "x-optyx-user": "ann", "x-optyx-tags": "a,b=c", "x-request-id": "mine-1"}
    )
    assert (answered.status, answered.headers["x-optyx-tier"], answered.request_id) == (200, "smart", "mine-1")
    row = await gateway.row("mine-1")
    assert (row["user"], row["tags"]) == ("ann", ["a", "b=c"])
    assert (await gateway.chat(headers={"x-request-id": "not valid!"})).request_id != "not valid!"


async def test_a_ceiling_refuses_what_could_cost_more(gateway):
    assert shape(await gateway.chat(headers={"x-optyx-max-cost-usd": "0.000001"}, max_tokens=1000)) == (
        400,
        "max_cost_exceeded",
    )
    assert (await gateway.chat(headers={"x-optyx-max-cost-usd": "1"}, max_tokens=1000)).status == 200


async def test_sizes_types_encodings_paths_and_methods(make_gateway):
    gateway = await make_gateway(GATEWAY_MAX_BODY_MB="1")
    big = b'{"messages":[{"role":"user","content":"' + b"x" * (1 << 20) + b'"}]}'
    assert shape(await gateway.post("/v1/chat/completions", big)) == (413, "request_too_large")
    body = json.dumps(GOOD).encode()
    for kind, status in (
        ("application/json; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ):
        async with gateway.session.post(
            gateway.url + "/v1/chat/completions", data=body, headers={**gateway.headers(), "Content-Type": kind}
        ) as response:
            assert response.status == status
    assert shape(await gateway.post("/v1/chat/completions", body, content_encoding="gzip")) == (
        415,
        "unsupported_encoding",
    )
    assert (await gateway.post("/v1/nothing", GOOD)).code == "not_found"
    answered = await gateway.get("/v1/chat/completions")
    assert (answered.status, answered.headers["Allow"]) == (405, "POST")
    assert answered.code == "method_not_allowed"


async def raw(gateway, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_what_is_no_http_is_refused_and_closed(gateway):
    auth = f"Authorization: Bearer {gateway.key}\r\n".encode()
    post = b"POST /v1/chat/completions HTTP/1.1\r\n"
    for data, status in (
        (post + b"Host: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n" + auth + b"\r\n{}", b"400"),
        (post + b"Host: x\r\nHost: y\r\nConnection: close\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /health HTTP/3.7\r\nHost: x\r\nConnection: close\r\n\r\n", b"50"),
        (post + b"Host: x\r\nX-A: " + b"y" * 40_000 + b"\r\n\r\n", b"400"),
    ):
        answer = await raw(gateway, data)
        assert answer.split(b" ")[1].startswith(status), (data[:60], answer[:200])
        assert b'{"error":{"message":' in answer
        assert b"Traceback" not in answer


async def test_a_slow_header_is_cut_off(make_gateway):
    gateway = await make_gateway(GATEWAY_HEADER_TIMEOUT_S="0.2")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost:")
    assert await asyncio.wait_for(reader.read(), 3) == b""
    writer.close()


async def test_http_1_0_gets_a_stream_that_ends_with_the_connection(gateway):
    body = json.dumps({**GOOD, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer {gateway.key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    answer = await raw(gateway, head + body)
    assert b"Transfer-Encoding" not in answer
    assert answer.endswith(b"data: [DONE]\n\n")


async def test_cors_is_for_the_origins_named_and_never_for_admin(make_gateway):
    gateway = await make_gateway(DASHBOARD_ORIGIN="https://a.example,https://b.example")
    answered = await gateway.chat(headers={"Origin": "https://a.example"})
    assert answered.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "x-request-id" in answered.headers["Access-Control-Expose-Headers"]
    foreign = await gateway.chat(headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in foreign.headers
    assert foreign.headers["Vary"] == "Origin"
    async with gateway.session.options(
        gateway.url + "/v1/chat/completions",
        headers={"Origin": "https://b.example", "Access-Control-Request-Method": "POST"},
    ) as response:
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (204, "https://b.example")
    async with gateway.session.get(
        gateway.url + "/admin/v1/whoami", headers={"Origin": "https://a.example"}
    ) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_no_place_to_record_means_no_call(gateway, monkeypatch):
    def full(_record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gateway.worker.plane.journal, "append", full)
    assert shape(await gateway.chat()) == (503, "accounting_unavailable")
    assert gateway.upstream.seen == []


async def test_health_says_what_it_is(gateway):
    assert (await gateway.get("/health")).json == {
        "status": "ok",
        "service": "optyx-gateway",
        "version": gateway.worker.plane.version,
    }
    ready = await gateway.get("/health/ready")
    assert (ready.status, ready.json["status"]) == (200, "ready")
    await gateway.chat()
    metrics = (await gateway.get("/metrics")).body.decode()
    assert 'optyx_calls_total{endpoint="chat",model="gpt-6-luna",provider="openai",status="200"} 1.0' in metrics
