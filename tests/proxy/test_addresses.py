"""A key that is bound to addresses works from these and from nowhere else, whichever way its call comes in."""

from __future__ import annotations

import asyncio
import functools
import json

import pytest

from gateway.front import Server
from gateway.proxy.serve import serve
from tests import wire
from tests.conftest import free_port

HERE, ELSEWHERE = ["127.0.0.0/8"], ["10.0.0.0/8", "2001:db8::/32"]
SLOW = b"X-Not-Plain: \xc3\xa4"
"""With a header that is not ASCII a call goes to aiohttp's parser."""


async def bind(gateway, *cidrs: str) -> None:
    """Every key may be used from there; without any, from everywhere."""
    await gateway.execute("UPDATE api_keys SET allowed_addresses = $1::text[]::cidr[]", list(cidrs) or None)


async def ask(gateway, *more: bytes) -> tuple[int, str]:
    """One call on a connection of its own: status, and the error's code and message."""
    data = wire.post(gateway.key, wire.GOOD, b"Connection: close", *more)
    [(status, body)] = wire.answers((await wire.exchange(gateway.config.port, data))[0])
    error = {} if status == 200 else wire.error_of(body)
    return status, f"{error['code']}: {error['message']}" if error else ""


def forwarded(*values: str) -> list[bytes]:
    return [b"X-Forwarded-For: " + value.encode() for value in values]


@pytest.mark.parametrize("way", [[], [SLOW]], ids=["quick", "ordinary"])
async def test_a_key_works_from_its_addresses_alone(gateway, upstream, way):
    await bind(gateway, *HERE)
    assert (await ask(gateway, *way))[0] == 200
    await bind(gateway, *ELSEWHERE)
    asked = len(upstream.seen)
    status, said = await ask(gateway, *way)
    assert status == 403
    assert said.startswith("address_not_allowed: This key may not be used from 127.0.0.1.")
    assert "optyx keys update KEY --cidr" in said
    assert "10.0.0.0/8" not in said
    assert len(upstream.seen) == asked
    await bind(gateway)
    assert (await ask(gateway, *way))[0] == 200


async def test_a_refusal_is_in_the_log_as_its_key_s(gateway):
    await bind(gateway, *ELSEWHERE)
    answered = await gateway.chat(headers={"x-request-id": "from-elsewhere"})
    assert (answered.status, answered.code) == (403, "address_not_allowed")
    row = await gateway.row("from-elsewhere")
    assert (row["status"], row["error_code"], row["end_reason"]) == (403, "address_not_allowed", "refused")
    assert row["project_id"] == gateway.project_id
    assert row["cost_nusd"] is None
    assert "may not be used from 127.0.0.1" in json.loads(row["details"])["refusal"]
    told = (await gateway.admin("GET", "/logs/from-elsewhere")).json
    assert "may not be used from 127.0.0.1" in told["route"]["refusal"]


async def test_the_list_of_models_is_refused_too_and_a_dead_key_is_no_better_known(gateway):
    await bind(gateway, *ELSEWHERE)
    listed = await gateway.get("/v1/models", gateway.headers())
    assert (listed.status, listed.code) == (403, "address_not_allowed")
    await gateway.execute("UPDATE api_keys SET disabled_at = now()")
    assert (await ask(gateway))[1].startswith("invalid_api_key")
    assert (await gateway.get("/v1/models", gateway.headers())).code == "invalid_api_key"


@pytest.mark.parametrize("way", [[], [SLOW]], ids=["quick", "ordinary"])
async def test_a_changed_list_holds_on_a_connection_that_is_kept(gateway, way):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)

    async def again() -> int:
        writer.write(wire.post(gateway.key, wire.GOOD, *way))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
        return int(head.split(b" ")[1])

    assert await again() == 200
    for cidrs, status in ((ELSEWHERE, 403), (HERE, 200), (ELSEWHERE, 403), ([], 200)):
        await bind(gateway, *cidrs)
        assert [await again(), await again()] == [status, status]
    assert len(gateway.worker.shortcuts) == (0 if way else 1)
    writer.close()


async def test_a_change_over_the_admin_api_reaches_a_worker_in_half_a_second(gateway):
    key_id = await gateway.db.fetchval("SELECT id FROM api_keys")
    assert (await ask(gateway))[0] == 200
    assert (await gateway.admin("PATCH", f"/keys/{key_id}", {"allowed_addresses": ELSEWHERE})).status == 200
    async with asyncio.timeout(0.5):
        while (await ask(gateway))[0] == 200:
            await asyncio.sleep(0.01)


async def test_a_secret_in_its_grace_and_one_not_seen_before_are_bound_alike(gateway):
    made = (await gateway.admin("POST", "/projects/default/keys", {"name": "ci", "allowed_addresses": ELSEWHERE})).json
    turned = (await gateway.admin("POST", f"/keys/{made['id']}/rotate", {"grace": "1h"})).json
    for secret in (made["key"], turned["key"]):
        gateway.key = secret
        assert (await ask(gateway))[0] == 403
    await gateway.changed()
    for secret in (made["key"], turned["key"]):
        gateway.key = secret
        assert (await ask(gateway))[0] == 403


@pytest.mark.parametrize("way", [[], [SLOW]], ids=["quick", "ordinary"])
async def test_without_a_trusted_proxy_nobody_can_say_where_they_are(gateway, way):
    await bind(gateway, "192.0.2.0/24")
    assert (await ask(gateway, *way, *forwarded("192.0.2.7")))[0] == 403
    assert (await ask(gateway, *way, b"X-Real-IP: 192.0.2.7", b"Forwarded: for=192.0.2.7"))[0] == 403


@pytest.mark.parametrize("way", [[], [SLOW]], ids=["quick", "ordinary"])
async def test_behind_a_trusted_proxy_its_word_counts_and_the_client_s_does_not(make_gateway, way):
    gateway = await make_gateway(OPTYX_TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8")
    await bind(gateway, "192.0.2.0/24", "2001:db8::/32")
    for values, status in [
        (("192.0.2.7",), 200),
        (("203.0.113.9, 192.0.2.7, 10.0.0.4",), 200),
        (("[2001:db8::9]:4711",), 200),
        (("192.0.2.7, 203.0.113.9",), 403),
        ((), 403),
        (("unknown",), 403),
        # a proxy that adds a second header stands behind what the client sent
        (("192.0.2.7", "203.0.113.9"), 403),
        (("203.0.113.9", "192.0.2.7"), 200),
        (("192.0.2.7, 192.0.2.7", "unknown"), 403),
    ]:
        assert (await ask(gateway, *way, *forwarded(*values)))[0] == status, values
    assert "from 203.0.113.9." in (await ask(gateway, *way, *forwarded("192.0.2.7, 203.0.113.9")))[1]
    assert "from an address that can't be told" in (await ask(gateway, *way, *forwarded("unknown")))[1]
    listed = await gateway.get("/v1/models", gateway.headers(x_forwarded_for="192.0.2.7"))
    assert listed.status == 200


async def test_a_proxy_s_own_address_stands_in_for_nobody(make_gateway):
    """The proxy's network is allowed, as of a team that calls from inside: a word that is no address must not pass for it."""
    gateway = await make_gateway(OPTYX_TRUSTED_PROXIES="127.0.0.1")
    await bind(gateway, *HERE)
    assert (await ask(gateway, *forwarded("203.0.113.9")))[0] == 403
    assert (await ask(gateway, *forwarded("unknown")))[0] == 403
    assert (await ask(gateway))[0] == 200


async def test_an_ipv4_client_of_a_socket_for_both_is_known_by_its_ipv4_address(make_gateway):
    gateway = await make_gateway(GATEWAY_HOST="::")
    await bind(gateway, *HERE)
    assert (await ask(gateway))[0] == 200
    await bind(gateway, "::/0")
    assert "from 127.0.0.1." in (await ask(gateway))[1]


async def test_an_ipv6_client_is_known_by_its_address(make_gateway):
    gateway = await make_gateway(GATEWAY_HOST="::1")
    gateway.url = f"http://[::1]:{gateway.config.port}"
    await bind(gateway, "::1")
    assert (await gateway.chat()).status == 200
    await bind(gateway, *HERE)
    refused = await gateway.chat()
    assert "from ::1." in refused.json["error"]["message"]


@pytest.mark.parametrize("way", [[], [SLOW]], ids=["quick", "ordinary"])
async def test_a_peer_without_an_address_is_nowhere(gateway, scratch, way):
    """A Unix socket's: the gateway opens none itself, whoever puts one in front of its server is told so."""
    routes = {"/v1/chat/completions": functools.partial(serve, gateway.worker.plane, endpoint="chat")}
    server = Server(gateway.worker.admin_app, gateway.config, routes, set())
    path = scratch / f"{free_port()}.sock"
    listening = await asyncio.get_running_loop().create_unix_server(server, str(path))
    try:
        for cidrs, status in ((("0.0.0.0/0", "::/0"), 403), ((), 200)):
            await bind(gateway, *cidrs)
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(wire.post(gateway.key, wire.GOOD, b"Connection: close", *way))
            [(found, body)] = wire.answers(await asyncio.wait_for(reader.read(), 5))
            writer.close()
            assert found == status
            assert status == 200 or "an address that can't be told" in wire.error_of(body)["message"]
    finally:
        listening.close()
        await server.shutdown(1)
