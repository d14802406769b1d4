"""The HTTP surface, route by route and header by header, as a client sees it."""

import asyncio
import json
import re
import socket

from prometheus_client.parser import text_string_to_metric_families

from gateway import exposition
from gateway.app import listener
from gateway.metrics import Metrics
from tests.conftest import free_port
from tests.upstream import failing, piece, silent, streamed

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
ROUTES = {
    "/health": "GET",
    "/health/ready": "GET",
    "/metrics": "GET",
    "/v1/models": "GET",
    "/v1/models/fast": "GET",
    "/v1/chat/completions": "POST",
    "/v1/embeddings": "POST",
    "/models": "GET",
    "/models/fast": "GET",
    "/chat/completions": "POST",
    "/embeddings": "POST",
}


async def request(gateway, method, path, **given):
    async with gateway.session.request(method, gateway.url + path, **given) as response:
        return response.status, response.headers, await response.read()


async def test_health_has_exactly_this_body(gateway):
    status, headers, body = await request(gateway, "GET", "/health")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert (
        body
        == json.dumps(
            {"status": "ok", "service": "optyx-gateway", "version": gateway.worker.plane.version}, separators=(",", ":")
        ).encode()
    )


async def test_readiness_names_its_components_and_says_no_when_draining_or_unable(gateway, monkeypatch):
    answered = await gateway.get("/health/ready")
    assert (answered.status, answered.json["status"]) == (200, "ready")
    assert set(answered.json["components"]) >= {"catalog", "database", "logbook"}
    assert set(answered.json["components"].values()) == {"ok"}
    monkeypatch.setattr(gateway.worker.refresh, "is_connected", False)
    answered = await gateway.get("/health/ready")
    assert (answered.status, answered.json["status"]) == (200, "degraded")
    assert answered.json["components"]["database"] != "ok"
    gateway.worker.plane.is_draining = True
    answered = await gateway.get("/health/ready")
    assert (answered.status, answered.json["status"]) == (503, "draining")
    assert int(answered.headers["Retry-After"]) >= 1
    assert (await gateway.get("/health")).status == 200, "liveness is another question"


async def test_every_path_takes_its_method_and_names_it_to_others(gateway):
    for path, method in ROUTES.items():
        for other in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"} - {method}:
            status, headers, body = await request(gateway, other, path, headers=gateway.headers())
            if other == "HEAD" and method == "GET":
                assert (status, body) == (200, b""), path
                assert int(headers["Content-Length"]) > 0
                continue
            assert status == 405, (other, path)
            assert method in headers["Allow"].split(", "), path
            assert headers["Content-Type"] == "application/json"
            assert headers["x-request-id"]
            if other != "HEAD":
                assert json.loads(body)["error"]["code"] == "method_not_allowed"


async def test_what_is_not_there_is_a_404_in_our_shape(gateway):
    for method in ("GET", "POST", "DELETE", "HEAD"):
        for path in (
            "/",
            "/v1",
            "/v1/",
            "/v1/nothing",
            "/v2/models",
            "/v1/models/",
            "/v1/chat",
            "/favicon.ico",
            "/v1/responses",
            "/v1/messages",
        ):
            status, headers, body = await request(gateway, method, path, headers=gateway.headers())
            assert (status, headers["Content-Type"]) == (404, "application/json"), (method, path)
            assert headers["x-request-id"].startswith("req_")
            if method != "HEAD":
                assert json.loads(body)["error"]["code"] == "not_found"


async def test_both_prefixes_serve_the_same(gateway):
    for prefix in ("", "/v1"):
        assert (await gateway.post(f"{prefix}/chat/completions", CHAT)).status == 200
        assert (await gateway.post(f"{prefix}/embeddings", {"input": "x"})).status == 200
        assert (await gateway.get(f"{prefix}/models")).json["object"] == "list"
        assert (await gateway.get(f"{prefix}/models/fast")).json["id"] == "fast"


async def test_models_are_listed_as_openai_lists_them(gateway):
    listed = (await gateway.get("/v1/models")).json
    assert set(listed) == {"object", "data"}
    assert listed["object"] == "list"
    for model in listed["data"]:
        assert set(model) == {"id", "object", "created", "owned_by"}
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
    ids = [model["id"] for model in listed["data"]]
    assert len(ids) == len(set(ids))
    assert {"fast", "smart", "embedding", "gpt-6-luna", "gemini-embedding-001"} <= set(ids)
    assert not any("sandbox" in name for name in ids), "no sandbox, no sandbox models"
    for name in ids:
        assert (await gateway.get(f"/v1/models/{name}")).json["id"] == name
    await gateway.execute("UPDATE models SET enabled = false WHERE id = 'gpt-6-luna'")
    assert "gpt-6-luna" not in (await gateway.get("/v1/models")).body.decode()
    await gateway.execute("UPDATE providers SET enabled = false WHERE name = 'google'")
    assert "gemini" not in (await gateway.get("/v1/models")).body.decode()


async def test_ids_with_slashes_and_the_same_id_at_two_providers(gateway):
    await gateway.execute(
        "INSERT INTO models (id, provider_id, upstream_name, mode) SELECT 'org/model-x:free', id, 'x', 'chat' FROM providers WHERE name = 'openai'"
    )
    await gateway.execute(
        "INSERT INTO models (id, provider_id, upstream_name, mode) SELECT 'gpt-6-luna', id, 'other', 'chat' FROM providers WHERE name = 'google'"
    )
    for path in ("/v1/models/org/model-x:free", "/v1/models/org%2Fmodel-x%3Afree", "/models/openai/gpt-6-luna"):
        assert (await gateway.get(path, gateway.headers())).status == 200, path
    ids = {model["id"] for model in (await gateway.get("/v1/models", gateway.headers())).json["data"]}
    assert {"gpt-6-luna", "org/model-x:free"} <= ids
    assert len(ids & {"google/gpt-6-luna", "openai/gpt-6-luna"}) == 1, (
        "the one that the bare id does not mean is listed by its full name"
    )
    answered = await gateway.chat(model="org/model-x:free")
    assert (answered.status, gateway.upstream.seen[-1].json["model"]) == (200, "x")
    assert answered.headers["x-optyx-model"] == "org/model-x:free"


async def test_what_a_key_may_list_is_what_it_may_call(gateway):
    every = {model["id"] for model in (await gateway.get("/v1/models")).json["data"]}
    await gateway.execute(
        "UPDATE project_settings SET allowed_models = '{gemini-3.5-flash-lite,gpt-6.1-sol,text-embedding-3-small}'"
    )
    await gateway.execute("UPDATE api_keys SET allowed_models = '{gpt-6.1-sol,gpt-6-luna,text-embedding-3-small}'")
    listed = {model["id"] for model in (await gateway.get("/v1/models", gateway.headers())).json["data"]}
    assert listed == {"gpt-6.1-sol", "text-embedding-3-small", "smart"}
    for name in every:
        body = {**CHAT, "model": name} if "embedding" not in name else {"input": "x", "model": name}
        path = "/v1/chat/completions" if "embedding" not in name else "/v1/embeddings"
        answered = await gateway.post(path, body)
        assert (answered.status == 200) == (name in listed), name
        if name not in listed:
            assert (answered.status, answered.code) == (403, "model_not_allowed")
            answered = await gateway.get(f"/v1/models/{name}", gateway.headers())
            assert (answered.status, answered.code) == (404, "model_not_found")
    for headers in (
        {"Authorization": "Bearer x"},
        {"x-api-key": "sk-optyx-no"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": ""},
    ):
        for path in ("/v1/models", "/v1/models/fast"):
            answered = await gateway.get(path, headers)
            assert (answered.status, answered.code) == (401, "invalid_api_key"), headers


async def test_metrics_are_prometheus_text_with_a_bounded_number_of_series(gateway):
    async def series() -> int:
        answered = await gateway.get("/metrics")
        assert answered.headers["Content-Type"].startswith("text/plain; version=")
        families = list(text_string_to_metric_families(answered.body.decode()))
        assert {"optyx_calls", "optyx_attempts", "optyx_tokens", "optyx_overhead_ms"} <= {
            family.name for family in families
        }
        return sum(len(family.samples) for family in families)

    await gateway.chat()
    await gateway.chat(model="nothing-0")
    await gateway.get("/nothing/0")
    before = await series()
    for number in range(1, 50):
        await gateway.chat(model=f"nothing-{number}", headers={"x-optyx-user": f"user-{number}"})
        await gateway.get(f"/nothing/{number}")
    assert await series() <= before + 2


def test_metrics_of_every_worker_are_added_up(tmp_path):
    mine, theirs = Metrics(), Metrics()
    for metrics, count in ((mine, 2), (theirs, 3)):
        for _ in range(count):
            metrics.call("chat", "openai", "m", 200, 12.0, 0.5)
    exposition.leave(tmp_path, exposition.numbers("other", theirs, {"calls_in_flight": 1.0}))
    text = exposition.render(
        exposition.gather(tmp_path, exposition.numbers("me", mine, {"calls_in_flight": 2.0}))
    ).decode()
    samples = {
        (sample.name, sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("endpoint") == "chat" or sample.name == "optyx_state"
    }
    assert samples["optyx_calls_total", None] == 5
    assert samples["optyx_call_duration_ms_bucket", "25.0"] == samples["optyx_call_duration_ms_count", None] == 5
    assert samples["optyx_state", None] == 3


ALWAYS = {"x-request-id", "x-optyx-attempts", "x-optyx-overhead-ms"}


async def test_every_answer_of_a_call_carries_our_headers(gateway):
    whole = await gateway.chat()
    named = await gateway.chat(model="gpt-6-luna")
    embedded = await gateway.post("/v1/embeddings", {"input": "x"})
    gateway.upstream.enqueue(streamed(piece("a"), piece(finish="stop"), "[DONE]"))
    stream = await gateway.chat(stream=True, headers={"x-optyx-tier": "Smart"})
    gateway.upstream.enqueue(failing(400, "odd"))
    refused = await gateway.chat(model="gpt-6-luna")
    gateway.upstream.enqueue(failing(401), failing(401))
    failed = await gateway.chat()
    ours = await gateway.chat(model="nope")
    key, gateway.key = gateway.key, "wrong"
    nobody = await gateway.chat()
    gateway.key = key
    for answered in (whole, named, embedded, stream, refused, failed, ours, nobody):
        assert set(answered.headers) >= ALWAYS or {name.lower() for name in answered.headers} >= ALWAYS
        assert re.fullmatch(r"\d+\.\d{3}", answered.headers["x-optyx-overhead-ms"])
        assert answered.headers["Server"] == "optyx"
    for answered, provider, model, tier, attempts in (
        (whole, "openai", "gpt-6-luna", "fast", "1"),
        (named, "openai", "gpt-6-luna", None, "1"),
        (embedded, "google", "gemini-embedding-001", "embedding", "1"),
        (stream, "openai", "gpt-6.1-sol", "smart", "1"),
        (refused, "openai", "gpt-6-luna", None, "1"),
        (failed, "google", "gemini-3.5-flash-lite", "fast", "2"),
        (ours, None, None, None, "0"),
        (nobody, None, None, None, "0"),
    ):
        found = [answered.headers.get(f"x-optyx-{name}") for name in ("provider", "model", "tier", "attempts")]
        assert found == [provider, model, tier, attempts]
    assert re.fullmatch(r"\d+\.\d+", whole.headers["x-optyx-cost-usd"])
    assert "x-optyx-cost-usd" not in stream.headers
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.headers["Cache-Control"] == "no-cache"
    assert stream.headers["X-Accel-Buffering"] == "no"


async def test_the_overhead_is_ours_alone(gateway):
    await gateway.execute("UPDATE providers SET timeouts = '{\"whole_ms\": 300}'")
    gateway.upstream.by_model["gpt-6-luna"] = silent()
    answered = await gateway.chat()
    assert float(answered.headers["x-optyx-overhead-ms"]) < 150


async def test_a_request_id_is_kept_or_replaced(gateway):
    kept, replaced = ["a", "A-b_c.9", "x" * 128], ["", "x" * 129, "a b", "a/b", "ä", "a,b", "a\tb"]
    for path in ("/v1/chat/completions", "/v1/models", "/nothing", "/health"):
        method, given = ("POST", {"json": CHAT}) if "chat" in path else ("GET", {})
        for value in kept + replaced:
            asked = {**gateway.headers(), "x-request-id": value}
            _, headers, _ = await request(gateway, method, path, headers=asked, **given)
            assert (headers["x-request-id"] == value) == (value in kept), (path, value)
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", headers["x-request-id"])


async def test_keys_come_in_two_headers_and_the_scheme_in_any_case(gateway):
    for headers in (
        {"Authorization": f"Bearer {gateway.key}"},
        {"Authorization": f"bearer {gateway.key}"},
        {"Authorization": f"BEARER   {gateway.key}"},
        {"x-api-key": gateway.key},
        {"X-API-Key": gateway.key},
    ):
        status, _, _ = await request(gateway, "POST", "/v1/chat/completions", json=CHAT, headers=headers)
        assert status == 200, headers
    for headers in (
        {},
        {"Authorization": gateway.key},
        {"Authorization": f"Token {gateway.key}"},
        {"Authorization": f"Bearer{gateway.key}"},
        {"Authorization": f"Bearer {gateway.key} x"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"x-api-key": ""},
        {"x-goog-api-key": gateway.key},
    ):
        status, given, body = await request(gateway, "POST", "/v1/chat/completions", json=CHAT, headers=headers)
        assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key"), headers
        assert given["WWW-Authenticate"] == "Bearer"
    status, _, _ = await request(gateway, "POST", f"/v1/chat/completions?api_key={gateway.key}", json=CHAT)
    assert status == 401


async def test_a_content_type_may_be_missing_and_must_be_json_otherwise(gateway):
    body = json.dumps(CHAT).encode()
    url = "/v1/chat/completions"
    for kind, expected in (
        ("application/json", 200), ("Application/JSON; charset=UTF-8", 200), ("application/vnd.api+json", 200), (None, 200),
        ("text/plain", 415), ("text/json", 415), ("multipart/form-data; boundary=x", 415), ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415), ("application/xml", 415), ("json", 415), ("", 415),
    ):  # fmt: skip
        headers = gateway.headers() | ({} if kind is None else {"Content-Type": kind})
        skip = ["Content-Type"] if kind is None else []
        status, _, answer = await request(gateway, "POST", url, data=body, headers=headers, skip_auto_headers=skip)
        assert status == expected, (kind, answer)
        if status == 415:
            assert json.loads(answer)["error"]["code"] == "unsupported_media_type"


async def test_tags_users_and_tiers_take_what_the_contract_says_and_nothing_else(gateway):
    good = [
        ("x-optyx-tier", ["fast", "FAST", "Smart", " smart "]),
        ("x-optyx-user", ["a", "x" * 256, "ann@example.com", "a b", "ann:1"]),
        (
            "x-optyx-tags",
            ["a", "a=b", "team=red,env=prod", "a, b", ",".join(f"t{n}" for n in range(16)), "a=b=c", "a=x y"],
        ),
    ]
    bad = [
        ("x-optyx-tier", ["", "turbo", "fast,smart", "fast smart"]),
        ("x-optyx-user", ["", "x" * 257]),
        ("x-optyx-tags", ["", ",", "a,,b", "=b", "a b", ",".join(f"t{n}" for n in range(17))]),
    ]
    for table, expected in ((good, 200), (bad, 400)):
        for name, values in table:
            for value in values:
                status, _, body = await request(
                    gateway, "POST", "/v1/chat/completions", json=CHAT, headers={**gateway.headers(), name: value}
                )
                assert status == expected, (name, value, body)
                if status == 400:
                    error = json.loads(body)["error"]
                    assert (error["code"], error["param"]) == ("invalid_request", name)


ORIGIN = "https://dash.example"


async def test_cors_is_closed_unless_an_origin_is_named(gateway):
    for method, path in (("GET", "/health"), ("GET", "/v1/models"), ("OPTIONS", "/v1/chat/completions")):
        _, headers, _ = await request(
            gateway, method, path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        )
        assert not [name for name in headers if name.lower().startswith("access-control")]


async def test_cors_opens_health_and_v1_to_the_origins_named_with_errors_and_preflights(make_gateway):
    gateway = await make_gateway(DASHBOARD_ORIGIN=f"{ORIGIN}, http://localhost:3000")
    exposed = set()
    for origin, is_ours in (
        (ORIGIN, True),
        ("http://localhost:3000", True),
        ("https://evil.example", False),
        ("null", False),
        (ORIGIN + ".evil", False),
    ):
        mine = {**gateway.headers(), "Origin": origin}
        for method, path, given, status in (
            ("GET", "/health", {}, 200),
            ("GET", "/v1/models", {}, 200),
            ("GET", "/v1/models/nope", {}, 404),
            ("GET", "/v1/nothing", {}, 404),
            ("DELETE", "/v1/models", {}, 405),
            ("POST", "/v1/chat/completions", {"json": CHAT}, 200),
            ("POST", "/v1/chat/completions", {"data": b"{"}, 400),
            ("POST", "/v1/chat/completions", {"json": {**CHAT, "stream": True}}, 200),
            ("POST", "/v1/embeddings", {"json": {"input": "x"}}, 200),
        ):
            found, headers, _ = await request(
                gateway, method, path, headers={**mine, "Content-Type": "application/json"}, **given
            )
            assert found == status, (method, path)
            assert headers["Vary"] == "Origin"
            assert headers.get("Access-Control-Allow-Origin") == (origin if is_ours else None), (origin, path)
            assert ("Access-Control-Expose-Headers" in headers) == is_ours
            assert "Access-Control-Allow-Credentials" not in headers
            exposed |= {name.strip().lower() for name in headers.get("Access-Control-Expose-Headers", "").split(",")}
        for path in ("/health", "/v1/chat/completions", "/v1/models"):
            asks = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, x-optyx-tier",
            }
            status, headers, body = await request(gateway, "OPTIONS", path, headers=asks)
            assert (status, body, headers["Vary"], headers["Server"]) == (204, b"", "Origin", "optyx")
            assert headers["x-request-id"].startswith("req_")
            assert headers.get("Access-Control-Allow-Origin") == (origin if is_ours else None)
            assert ("x-optyx-tier" in headers.get("Access-Control-Allow-Headers", "")) == is_ours
            assert ("POST" in headers.get("Access-Control-Allow-Methods", "")) == is_ours
    assert {"x-request-id", "x-optyx-provider", "x-optyx-overhead-ms", "x-optyx-cost-usd", "retry-after"} <= exposed
    token = {"Authorization": f"Bearer {await gateway.token()}", "Origin": ORIGIN}
    for method, path in (
        ("GET", "/admin/v1/whoami"),
        ("OPTIONS", "/admin/v1/whoami"),
        ("GET", "/v1/../admin/v1/whoami"),
        ("GET", "/metrics"),
    ):
        headers = (await request(gateway, method, path, headers={**token, "Access-Control-Request-Method": "GET"}))[1]
        assert not [name for name in headers if name.lower().startswith("access-control")], (method, path)


async def test_the_kernel_holds_no_small_write_back():
    """asyncio sets TCP_NODELAY on what comes in by a socket that names TCP, uvloop always: without it a first token waits 43 ms."""
    found = asyncio.get_running_loop().create_future()

    class Caller(asyncio.Protocol):
        def connection_made(self, transport):
            found.set_result(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    listening = listener("127.0.0.1", free_port())
    async with await asyncio.get_running_loop().create_server(Caller, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        assert await asyncio.wait_for(found, 5) == 1
        writer.close()
        await writer.wait_closed()
