"""The frame of the admin API, whatever the route: who gets in, what a body may be, what an answer carries."""

import asyncio
import base64
import json

from aiohttp import web

from gateway import keyring
from gateway.admin.dispatch import PREFIX
from gateway.admin.routes import ROUTES
from tests.conftest import free_port


async def get(gateway, path="/whoami", **headers):
    return await gateway.get(f"/admin/v1{path}", headers)


async def test_whoami_says_who_the_token_is(gateway):
    answered = await gateway.admin("GET", "/whoami", role="operator")
    assert answered.status == 200
    assert answered.json["role"] == "operator"
    assert answered.json["org_id"] == gateway.org_id
    assert answered.headers["x-request-id"]
    assert answered.headers["cache-control"] == "no-store"


async def test_every_wrong_credential_gets_the_same_401(gateway):
    token = await gateway.token()
    unknown = keyring.mint_admin_token().text
    await gateway.db.execute(
        "UPDATE admin_tokens SET expires_at = now() WHERE digest = $1", keyring.digest(token.encode())
    )
    bodies = set()
    for given in (
        None,
        "Bearer",
        f"Bearer {unknown}",
        f"Bearer {token}",
        f"Bearer {gateway.key}",
        f"Basic {token}",
        "Bearer \u00e9",
    ):
        answered = await get(gateway, **({} if given is None else {"Authorization": given}))
        assert answered.status == 401
        assert answered.code == "invalid_admin_token"
        bodies.add(answered.body)
    assert len(bodies) == 1
    assert (await get(gateway, **{"x-api-key": token})).status == 401
    assert (await get(gateway, "/whoami?token=" + token)).status == 401


async def test_a_disabled_user_takes_the_token_along(gateway):
    await gateway.token("owner")
    await gateway.db.execute("UPDATE admin_tokens SET user_id = (SELECT id FROM users LIMIT 1)")
    assert (await gateway.admin("GET", "/whoami")).status == 200
    await gateway.db.execute("UPDATE users SET disabled_at = now()")
    assert (await gateway.admin("GET", "/whoami")).status == 401


async def test_guessing_is_damped_and_locks_nobody_out(gateway):
    assert (await gateway.admin("GET", "/whoami")).status == 200
    seen = []
    for _ in range(40):
        answered = await get(gateway, Authorization=f"Bearer {keyring.mint_admin_token().text}")
        seen.append(answered.status)
    assert set(seen[:30]) == {401}
    assert set(seen[30:]) == {429}
    assert 1 <= int(answered.headers["retry-after"]) <= 60
    assert (await gateway.admin("GET", "/whoami")).status == 200


async def test_no_origin_is_ever_let_in(make_gateway):
    gateway = await make_gateway(DASHBOARD_ORIGIN="https://console.example.com")
    token = await gateway.token()
    for origin in ("https://console.example.com", "null", "http://127.0.0.1"):
        for method, headers in (
            ("OPTIONS", {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}),
            ("GET", {"Authorization": f"Bearer {token}"}),
        ):
            sent = {"Origin": origin, **headers}
            async with gateway.session.request(method, gateway.admin_url + "/whoami", headers=sent) as response:
                assert not [name for name in response.headers if name.lower().startswith("access-control-")]


async def test_only_json_is_taken(gateway):
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
    ):
        answered = await gateway.admin("GET", "/whoami", b"{}", headers={"Content-Type": kind})
        assert (answered.status, answered.code) == (415, "unsupported_media_type")
    packed = await gateway.admin(
        "GET", "/whoami", b"{}", headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
    )
    assert (packed.status, packed.code) == (415, "unsupported_encoding")


async def test_unknown_paths_and_methods_have_the_same_shape(gateway):
    nowhere = await gateway.admin("GET", "/nowhere")
    assert (nowhere.status, nowhere.code) == (404, "not_found")
    assert nowhere.headers["x-request-id"]
    wrong = await gateway.admin("POST", "/whoami", {})
    assert (wrong.status, wrong.code, wrong.headers["allow"]) == (405, "method_not_allowed", "GET")


async def test_a_query_that_is_not_known_is_refused_by_name(gateway):
    answered = await gateway.admin("GET", "/whoami?admin=1")
    assert (answered.status, answered.code, answered.json["error"]["param"]) == (422, "invalid_request", "admin")


async def test_no_way_of_writing_a_path_or_a_host_gets_around_the_guard(gateway):
    """Raw requests without a token: what matters is the route that matched, never the URL's text."""
    paths = [
        "/admin/v1/whoami", "/admin/v1/whoami/", "//admin/v1/whoami", "/admin//v1/whoami", "/admin/v1/./whoami", "/v1/../admin/v1/whoami",
        "/%61dmin/v1/whoami", "/admin/v1/%77hoami", "/admin%2fv1%2fwhoami", "/ADMIN/v1/whoami", "/admin/v1/whoami?x=/health",
        "/admin/v1/whoami#/health", "/admin/v1/whoami;/health", "/health/../admin/v1/whoami", "/health/%2e%2e/admin/v1/whoami",
        "/admin/v1/projects%00", "/admin/v1/projects?limit=1&limit=2", "http://health/admin/v1/whoami", "/admin/v1/keys/..%2fwhoami",
        "/admin/v1/openapi.json",
    ]  # fmt: skip
    hosts = [
        "localhost", "127.0.0.1", "localhost/#@x", "health", "a@b", "x" * 300, "\xff", "[::1", "localhost:99999", "..",
    ]  # fmt: skip
    for path, host in [(path, "localhost") for path in paths] + [("/admin/v1/whoami", host) for host in hosts]:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 401, 404), (path, host, answer)
        assert b"the owner" not in answer


async def test_whatever_is_patched_has_an_etag_that_guards_it(gateway):
    key = (await gateway.admin("GET", "/projects/default/keys")).json["data"][0]["id"]
    for path, body in (
        ("/projects/default", {"name": "x"}),
        (f"/keys/{key}", {"name": "x"}),
        ("/providers/openai", {"position": 5}),
        ("/models/gpt-6-luna", {"max_output_tokens": 5}),
        ("/projects/default/settings", {"capture": True}),
        ("/settings", {"log_retention_days": 5}),
    ):
        first = (await gateway.admin("GET", path)).headers["etag"]
        assert (await gateway.admin("PATCH", path, body, headers={"If-Match": first})).status == 200, path
        late = await gateway.admin("PATCH", path, body, headers={"If-Match": first})
        assert (late.status, late.code) == (412, "precondition_failed"), path
        assert late.headers["etag"] == (await gateway.admin("GET", path)).headers["etag"] != first


async def test_a_made_up_cursor_is_the_caller_s_mistake(gateway):
    for place in ([2**70], ["x"], [1, 2], {"a": 1}, [None]):
        cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
        for path in (
            "/audit",
            "/projects",
            "/prices",
            "/users",
            "/projects/default/keys",
            "/projects/default/settings/history",
        ):
            answered = await gateway.admin("GET", f"{path}?cursor={cursor}")
            assert answered.status in (200, 400), (path, place, answered.body)


async def test_the_database_away_is_said(gateway):
    await gateway.admin("GET", "/whoami")
    gateway.worker.desk.pool.terminate()
    answered = await gateway.admin("GET", "/whoami")
    assert (answered.status, answered.code) == (503, "database_unavailable")
    assert answered.headers["retry-after"] == "2"


async def test_a_listener_of_its_own_takes_the_admin_api_along(make_gateway):
    gateway = await make_gateway(ADMIN_HOST="127.0.0.1", ADMIN_PORT=str(free_port()))
    assert (await gateway.admin("GET", "/whoami")).status == 200
    there = await gateway.get("/admin/v1/whoami", {"Authorization": f"Bearer {await gateway.token()}"})
    assert (there.status, there.code) == (404, "not_found")
    async with gateway.session.post(
        gateway.admin_url.removesuffix("/admin/v1") + "/v1/chat/completions", json={}
    ) as answer:
        assert answer.status == 404


async def test_the_document_and_the_routes_say_the_same(gateway):
    document = (await gateway.admin("GET", "/openapi.json")).json
    described = {
        (method.upper(), path, told["x-optyx-role"])
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    }
    assert described == {(route.method, PREFIX + route.path, route.role) for route in ROUTES}
    assert len(described) == len(ROUTES)
    served = _served(gateway)
    assert served == {(method, path) for method, path, _ in described}
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
    ids = [told["operationId"] for methods in document["paths"].values() for told in methods.values()]
    assert len(ids) == len(set(ids))


def _served(gateway):
    app = gateway.worker.admin_app
    assert isinstance(app, web.Application)
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/admin")
    }
