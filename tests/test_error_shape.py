"""Every way to be refused has one shape. The tree in `gateway.errors` lists the codes; here each of them is met on the wire."""

import ast
import asyncio
import json
import re
from pathlib import Path

import asyncpg

from gateway import errors, keyring
from tests import wire
from tests.rig import Answered
from tests.upstream import failing, piece, raw, silent, whole

ROOT = Path(__file__).parent.parent
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
MESSAGE_NAMES_NO = re.compile(
    r"Traceback|sk-upstream-secret|google-secret|asyncpg|postgres(ql)?://|/site-packages/|0x[0-9a-f]{6}"
)
STATUS = {
    "invalid_json": 400, "invalid_request": 400, "unsupported_parameter": 400, "duplicate_key": 400, "max_cost_exceeded": 400,
    "upstream_refused": 400,
    "invalid_api_key": 401, "invalid_admin_token": 401, "model_not_allowed": 403, "address_not_allowed": 403, "forbidden": 403,
    "model_not_found": 404, "not_found": 404,
    "method_not_allowed": 405, "request_timeout": 408, "idempotency_in_progress": 409, "conflict": 409, "precondition_failed": 412,
    "request_too_large": 413, "unsupported_media_type": 415, "unsupported_encoding": 415, "idempotency_mismatch": 422,
    "rate_limit_exceeded": 429, "insufficient_quota": 429, "upstream_rate_limited": 429, "upstream_error": 502, "upstream_truncated": 502,
    "upstream_credentials": 502, "upstream_unavailable": 503, "provider_not_configured": 503, "accounting_unavailable": 503,
    "key_store_unavailable": 503, "budget_unavailable": 503, "overloaded": 503, "database_unavailable": 503, "upstream_timeout": 504,
    "http_version_not_supported": 505,
}  # fmt: skip
ELSEWHERE = {
    "draining": "an event in a stream: test_the_end_of_a_stream_that_breaks_off_has_the_shape_too",
    "filter_too_slow": "needs millions of rows: tests/test_logs.py",
    "internal_error": "a defect: test_a_defect_of_ours_tells_nothing",
}


def tree_of_codes() -> set[str]:
    """The codes that the docstring of `gateway.errors` draws."""
    lines = [
        line.strip().split("  ", 1)[1]
        for line in (errors.__doc__ or "").splitlines()
        if re.match(r"    (Refusal|[├└│])", line)
    ]
    return set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b|\b(?:conflict|forbidden|overloaded|draining)\b", " ".join(lines)))


def codes_in_code() -> set[str]:
    """The codes of every refusal that the gateway makes: class attributes, and `code=` in calls of refusals."""
    kinds = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.Refusal)
    }
    found = {value.code for name, value in vars(errors).items() if name in kinds}
    for path in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else node.func.id
                if isinstance(node.func, ast.Name)
                else ""
            )
            if name in kinds:
                given = [k.value for k in node.keywords if k.arg == "code"]
                parts = [part for value in given for part in ast.walk(value) if isinstance(part, ast.Constant)]
                found |= {part.value for part in parts if isinstance(part.value, str)}
    return found


def test_the_tree_has_every_code_there_is_and_no_other():
    assert tree_of_codes() == codes_in_code() == set(STATUS) | set(ELSEWHERE)


class Walk:
    """Collects answers and holds each to the shape."""

    def __init__(self) -> None:
        self.met: set[str] = set()

    def meet(self, code: str, answered: Answered, status: int | None = None) -> None:
        assert answered.status == (status or STATUS[code]), (code, answered.status, answered.body)
        error = wire.error_of(answered.body)
        assert error["code"] == code, answered.body
        assert list(answered.json) == ["error"]
        assert isinstance(error["message"], str)
        assert error["message"].endswith((".", "…"))
        assert not MESSAGE_NAMES_NO.search(answered.body.decode())
        assert isinstance(error["type"], str)
        assert error["param"] is None or isinstance(error["param"], str)
        assert answered.headers["Content-Type"] == "application/json"
        assert answered.headers["x-request-id"]
        if answered.status in (429, 503):
            assert 1 <= int(answered.headers["Retry-After"]) <= 60
        assert (answered.headers.get("x-should-retry") == "false") == (
            answered.status in (502, 504)
        ) or answered.status == 429
        self.met.add(code)


async def test_every_code_is_met_on_the_wire_in_one_shape(make_gateway, monkeypatch):
    walk = Walk()
    gateway = await make_gateway(GATEWAY_MAX_BODY_MB="1")
    await requests(walk, gateway)
    await limits(walk, gateway)
    await providers(walk, gateway)
    await administrators(walk, gateway)
    with monkeypatch.context() as patch:

        def full(_record: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(gateway.worker.plane.journal, "append", full)
        walk.meet("accounting_unavailable", await gateway.chat())
    alone = await make_gateway(OPENAI_API_KEY="", OPENAI_BASE_URL="", GOOGLE_API_KEY="", GOOGLE_BASE_URL="")
    answered = await alone.chat()
    walk.meet("provider_not_configured", answered)
    assert "OPENAI_API_KEY" in answered.json["error"]["message"]
    assert "GOOGLE_API_KEY" in answered.json["error"]["message"]
    await without_database(walk, gateway)
    assert walk.met == set(STATUS)


async def requests(walk: Walk, gateway) -> None:
    chat = "/v1/chat/completions"
    walk.meet("invalid_json", await gateway.post(chat, b"{"))
    walk.meet("invalid_request", await gateway.post(chat, {}))
    walk.meet("duplicate_key", await gateway.post(chat, b'{"messages":[{"role":"user","content":"x"}],"n":1,"n":2}'))
    answered = await gateway.chat(model="gemini-3.5-flash-lite", logit_bias={"1": 2})
    walk.meet("unsupported_parameter", answered)
    assert answered.json["error"]["param"] == "logit_bias"
    walk.meet("max_cost_exceeded", await gateway.chat(headers={"x-optyx-max-cost-usd": "0.000000001"}))
    key, gateway.key = gateway.key, "sk-optyx-nobody"
    walk.meet("invalid_api_key", await gateway.chat())
    gateway.key = key
    walk.meet("model_not_found", await gateway.chat(model="nope"))
    walk.meet("not_found", await gateway.post("/v1/nope", {}))
    walk.meet("method_not_allowed", await gateway.get(chat))
    walk.meet("request_too_large", await gateway.post(chat, b'"' + b"x" * (1 << 20) + b'"'))
    walk.meet("unsupported_encoding", await gateway.post(chat, b"{}", content_encoding="gzip"))
    async with gateway.session.post(gateway.url + chat, data="x", headers=gateway.headers()) as response:
        walk.meet("unsupported_media_type", Answered(response.status, response.headers, await response.read()))
    await gateway.execute("UPDATE project_settings SET allowed_models = '{gpt-6-luna}'")
    walk.meet("model_not_allowed", await gateway.chat(model="gpt-6.1-sol"))
    walk.meet("model_not_allowed", await gateway.chat(headers={"x-optyx-tier": "smart"}))
    await gateway.execute("UPDATE project_settings SET allowed_models = NULL")
    await gateway.execute("UPDATE api_keys SET allowed_addresses = '{10.0.0.0/8}'")
    walk.meet("address_not_allowed", await gateway.chat())
    await gateway.execute("UPDATE api_keys SET allowed_addresses = NULL")

    assert (await gateway.chat(headers={"Idempotency-Key": "one"})).status == 200
    walk.meet("idempotency_mismatch", await gateway.chat("another", headers={"Idempotency-Key": "one"}))
    asked, release = asyncio.Event(), asyncio.Event()

    async def hold(line):
        asked.set()
        await release.wait()
        await line.answer(
            200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]}
        )

    gateway.upstream.enqueue(hold)
    first = asyncio.create_task(gateway.chat(headers={"Idempotency-Key": "two"}))
    await asked.wait()
    walk.meet("idempotency_in_progress", await gateway.chat(headers={"Idempotency-Key": "two"}))
    release.set()
    assert (await first).status == 200

    for data, code in (
        (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", "http_version_not_supported"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "invalid_request"),
    ):
        walk.meet(code, await on_the_wire(gateway, data))
    from gateway import front

    grace, front.BODY_GRACE_S = front.BODY_GRACE_S, 0.05
    walk.meet("request_timeout", await on_the_wire(gateway, wire.post(gateway.key)[:-3]))
    front.BODY_GRACE_S = grace


async def on_the_wire(gateway, data: bytes) -> Answered:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.readuntil(b"}}"), 5)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    from multidict import CIMultiDict

    lines = head.decode().split("\r\n")
    return Answered(int(lines[0].split(" ")[1]), CIMultiDict(line.split(": ", 1) for line in lines[1:]), body)


async def limits(walk: Walk, gateway) -> None:
    for rates, body, type_ in (
        (("rpm", 1), {}, "requests"),
        (("tpm", 5), {"max_tokens": 100}, "tokens"),
        (("concurrency", 1), {}, "concurrency"),
    ):
        await gateway.execute(
            f"INSERT INTO limits (id, scope, subject, {rates[0]}) VALUES ('lim_x', 'project', $1, $2)",  # noqa: S608
            gateway.project_id,
            rates[1],
        )
        held = None
        if type_ == "concurrency":
            began = asyncio.Event()

            async def hold(line, began=began):
                began.set()
                await line.request.closed.wait()

            gateway.upstream.enqueue(hold)
            held = asyncio.create_task(gateway.chat())
            await began.wait()
        elif type_ == "requests":
            await gateway.chat()
        answered = await gateway.chat(**body)
        walk.meet("rate_limit_exceeded", answered)
        assert answered.json["error"]["type"] == type_
        if type_ != "concurrency":
            assert answered.headers[f"x-ratelimit-limit-{type_}"] == str(rates[1])
            assert int(answered.headers[f"x-ratelimit-remaining-{type_}"]) <= rates[1]
            assert answered.headers[f"x-ratelimit-reset-{type_}"].endswith("s")
        if held is not None:
            held.cancel()
        await gateway.execute("DELETE FROM limits")
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_x', 'project', $1, 1, 'total')",
        gateway.project_id,
    )
    answered = await gateway.chat()
    walk.meet("insufficient_quota", answered)
    assert answered.json["error"]["type"] == "insufficient_quota"
    await gateway.execute("DELETE FROM budgets")


async def providers(walk: Walk, gateway) -> None:
    await gateway.execute('UPDATE providers SET timeouts = \'{"whole_ms": 100, "first_byte_ms": 100}\'')
    for reply, code in (
        (failing(500), "upstream_error"),
        (whole({}, 302, {"Location": "http://127.0.0.1:1/"}), "upstream_error"),
        (whole(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), "upstream_error"),
        (raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":'), "upstream_truncated"),
        (failing(401), "upstream_credentials"),
        (failing(403), "upstream_credentials"),
        (silent(), "upstream_timeout"),
        (failing(429, headers={"Retry-After": "3"}), "upstream_rate_limited"),
    ):
        gateway.upstream.by_model["gpt-6-luna"] = reply
        gateway.trust_everybody()
        for stream in (False, True):
            walk.meet(code, await gateway.chat(model="gpt-6-luna", stream=stream))
            if code != "upstream_rate_limited":
                gateway.trust_everybody()
    gateway.trust_everybody()
    gateway.upstream.by_model["gpt-6-luna"] = failing(500)
    for _ in range(3):
        answered = await gateway.chat(model="gpt-6-luna")
    walk.meet("upstream_unavailable", await gateway.chat(model="gpt-6-luna"))
    gateway.trust_everybody()
    gateway.upstream.by_model["gpt-6-luna"] = failing(400, "Bad words: sk-abcdefghijkl \x1b[2J.")
    answered = await gateway.chat(model="gpt-6-luna")
    walk.meet("upstream_refused", answered)
    assert answered.json["error"]["message"] == "Bad words: [redacted]  [2J."
    gateway.upstream.by_model["gpt-6-luna"] = whole(
        {"detail": [{"loc": ["body", "n"], "msg": "must be small"}, {"msg": "no"}]}, 422
    )
    assert (await gateway.chat(model="gpt-6-luna")).json["error"]["message"] == "body.n: must be small; no"
    for status in (400, 404, 405, 409, 410, 413, 418, 422, 451):
        gateway.upstream.by_model["gpt-6-luna"] = failing(
            status, "That is odd.", code="its_own", type="its_type", param="p"
        )
        answered = await gateway.chat(model="gpt-6-luna")
        assert answered.status == status
        assert answered.json == {
            "error": {"message": "That is odd.", "type": "its_type", "param": "p", "code": "its_own"}
        }
    del gateway.upstream.by_model["gpt-6-luna"]

    await gateway.execute("UPDATE providers SET max_connections = 1, timeouts = '{}'")
    began = asyncio.Event()

    async def hold(line):
        began.set()
        await line.request.closed.wait()

    gateway.upstream.enqueue(hold)
    held = asyncio.create_task(gateway.chat(model="gpt-6-luna"))
    await began.wait()
    walk.meet("overloaded", await gateway.chat(model="gpt-6-luna"))
    held.cancel()
    await gateway.execute("UPDATE providers SET max_connections = 100")


async def administrators(walk: Walk, gateway) -> None:
    async with gateway.session.get(gateway.admin_url + "/whoami") as response:
        walk.meet("invalid_admin_token", Answered(response.status, response.headers, await response.read()))
    walk.meet("forbidden", await gateway.admin("POST", "/projects", {"name": "x"}, role="viewer"))
    assert (await gateway.admin("POST", "/projects", {"name": "Twice", "slug": "twice"})).status == 201
    walk.meet("conflict", await gateway.admin("POST", "/projects", {"name": "Twice", "slug": "twice"}))
    stale = await gateway.admin("PATCH", "/projects/twice/settings", {"failover": False}, headers={"If-Match": '"999"'})
    walk.meet("precondition_failed", stale)
    walk.meet("not_found", await gateway.admin("GET", "/projects/nobody"))
    walk.meet("not_found", await gateway.admin("GET", "/nothing"))
    walk.meet("invalid_request", await gateway.admin("POST", "/projects", {"name": 5}), 422)


async def without_database(walk: Walk, gateway) -> None:
    """The database lets nobody in any more. Known keys are served; what needs to be asked is a 503, and never a 401."""
    await gateway.token()
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_y', 'user', $1, 10000000000, '1d')",
        gateway.project_id,
    )
    name = await gateway.db.fetchval("SELECT current_database()")
    elsewhere = await asyncpg.connect(gateway.config.database_url.reveal().rpartition("/")[0] + "/postgres")
    await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    mine = await gateway.db.fetchval("SELECT pg_backend_pid()")
    await elsewhere.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> $2", name, mine
    )
    try:
        assert (await gateway.chat()).status == 200
        walk.meet("budget_unavailable", await gateway.chat(headers={"x-optyx-user": "ann"}))
        walk.meet("database_unavailable", await gateway.admin("GET", "/projects"))
        known, gateway.key = gateway.key, keyring.mint().text
        walk.meet("key_store_unavailable", await gateway.chat())
        gateway.key = known
    finally:
        await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await elsewhere.close()


async def test_the_end_of_a_stream_that_breaks_off_has_the_shape_too(gateway):
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def begin(line):
        await line.start_stream()
        await line.event(piece("a"))
        arrived.set()
        await ended.wait()
        await line.event({"error": {"message": "Overloaded.", "type": "server_error"}})

    async def broken(how) -> dict:
        arrived.clear()
        ended.clear()
        gateway.upstream.enqueue(begin)
        call = asyncio.create_task(gateway.chat(stream=True))
        await arrived.wait()
        async with asyncio.timeout(5):
            while not gateway.worker.plane.relays:
                await asyncio.sleep(0.005)
        how()
        ended.set()
        answered = await call
        assert answered.status == 200
        assert "[DONE]" not in answered.events
        return wire.error_of(answered.events[-1].encode())

    assert (await broken(lambda: None))["message"] == "Overloaded."
    assert (await broken(lambda: [relay.cut() for relay in list(gateway.worker.plane.relays)]))["code"] == "draining"


async def test_a_defect_of_ours_tells_nothing(gateway, monkeypatch, caplog):
    def broken(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr("gateway.proxy.choose.Routes.choose", broken)
    answered = await gateway.chat()
    assert (answered.status, answered.code) == (500, "internal_error")
    assert "secret of ours" not in answered.body.decode()
    assert "ZeroDivisionError" in caplog.text


def test_every_message_of_ours_is_said_once_as_json():
    refusal = errors.BadRequest('A "quoted" word \u2028 and \x1b.', param="p")
    assert json.loads(errors.body(refusal))["error"]["message"] == 'A "quoted" word \u2028 and \x1b.'
