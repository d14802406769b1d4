"""Providers behind a forward proxy, on plain http and on https: calls go the way that was set, and everything that holds without one holds."""

import asyncio
import json
import time

import aiohttp
import pytest

from gateway import config
from gateway.config import ConfigError
from gateway.egress import Egress, exemptions, proxy_of
from tests import wire
from tests.books.processes import Fleet, seeded
from tests.books.processes import environment as of_a_fleet
from tests.certificates import certificate, server_side
from tests.conftest import eventually, free_port
from tests.forward_proxy import ForwardProxy
from tests.upstream import Upstream, completion, piece, silent, streamed, whole

NAME = "provider.test"  # resolved nowhere but in the proxy
NAMED = {"model": "gpt-6-luna"}
USER, PROOF = "ann:s%26cret", "Basic YW5uOnMmY3JldA=="


class Behind:
    """A gateway that reaches OpenAI through a proxy, and Google, on this machine, without."""

    def __init__(self, scheme, gateway, proxy, provider):
        self.scheme, self.gateway, self.proxy, self.provider = scheme, gateway, proxy, provider


@pytest.fixture
async def make_behind(make_gateway, tmp_path, monkeypatch):
    opened = []

    async def make(scheme="https", proxy_scheme="http", trusts=True, **settings):
        pem = certificate(tmp_path, NAME, "127.0.0.1")
        if trusts:
            monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        provider = Upstream()
        await provider.start(tls=server_side(pem) if scheme == "https" else None)
        proxy = ForwardProxy(provider.port)
        await proxy.start(server_side(pem) if proxy_scheme == "https" else None)
        opened.extend((proxy, provider))
        url = f"{proxy_scheme}://{USER}@127.0.0.1:{proxy.port}"
        proxy.wants = PROOF
        settings = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "OPENAI_BASE_URL": f"{scheme}://{NAME}/v1", **settings}
        return Behind(scheme, await make_gateway(**settings), proxy, provider)

    yield make
    for server in opened:
        await server.stop()


@pytest.fixture(params=["http", "https"])
async def behind(request, make_behind):
    return await make_behind(request.param)


async def test_calls_and_streams_go_through_it_on_one_connection(behind):
    for _ in range(3):
        answered = await behind.gateway.chat(**NAMED)
        assert (answered.status, answered.json["object"]) == (200, "chat.completion")
        answered = await behind.gateway.chat(stream=True, **NAMED)
        assert (answered.status, answered.events[-1]) == (200, "[DONE]")
    assert behind.proxy.asked == (
        [f"CONNECT {NAME}:443"] if behind.scheme == "https" else [f"POST http://{NAME}/v1/chat/completions"] * 6
    )
    assert (behind.proxy.connections, behind.provider.connections) == (1, 1)
    for seen in behind.provider.seen:
        assert (seen.path, seen.headers["host"]) == ("/v1/chat/completions", NAME)
        assert "proxy-authorization" not in seen.headers
        assert seen.headers["authorization"] == "Bearer sk-upstream-secret"


async def test_who_lives_on_this_machine_is_asked_directly(behind):
    assert (await behind.gateway.chat(model="gemini-3.8-flash")).status == 200
    assert (behind.proxy.asked, len(behind.gateway.upstream.seen)) == ([], 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_closes_the_provider_behind_it(behind, stream):
    async def reply(line):
        if stream:
            await line.start_stream()
            await line.event(piece("b"))
        await line.request.closed.wait()

    behind.provider.enqueue(reply)
    reader, writer = await asyncio.open_connection("127.0.0.1", behind.gateway.config.port)
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": stream, **NAMED}).encode()
    writer.write(wire.post(behind.gateway.key, body, b"x-request-id: gone"))
    seen = b""
    while stream and b'"b"' not in seen:
        seen += await reader.read(65536)
    await eventually(lambda: behind.provider.seen, 5, "the call at the provider")
    left = time.monotonic()
    writer.close()
    await asyncio.wait_for(behind.provider.seen[0].closed.wait(), 5)
    assert time.monotonic() - left < 0.25
    row = await behind.gateway.row("gone")
    assert (row["end_reason"], row["usage_source"]) == ("client_closed", "estimated")


async def test_its_timeouts_are_the_provider_s(behind):
    await behind.gateway.execute(
        'UPDATE providers SET timeouts = \'{"connect_ms": 300, "first_byte_ms": 200, "whole_ms": 200}\''
    )
    for stream in (False, True):
        behind.provider.enqueue(silent())
        answered = await behind.gateway.chat(stream=stream, **NAMED)
        assert (answered.status, answered.code) == (504, "upstream_timeout")
        behind.gateway.trust_everybody()
    behind.proxy.is_deaf = True
    behind.gateway.worker.upstream.close()  # what rests was let through before
    began = time.monotonic()
    answered = await behind.gateway.chat(**NAMED)
    assert (answered.status, answered.code) == (504, "upstream_timeout")
    assert time.monotonic() - began < 1


async def test_an_answer_that_breaks_off_is_never_whole(behind):
    behind.provider.by_model["gpt-6-luna"] = whole(completion("x" * 60_000))
    behind.proxy.cuts_after = 30_000
    answered = await behind.gateway.chat(**NAMED)
    assert (answered.status, answered.code) == (502, "upstream_truncated")
    behind.gateway.trust_everybody()
    behind.provider.by_model["gpt-6-luna"] = streamed(*(piece("y" * 400) for _ in range(200)), "[DONE]")
    answered = await behind.gateway.chat(stream=True, **NAMED)
    assert answered.status == 200
    assert b"[DONE]" not in answered.body
    assert json.loads(answered.events[-1])["error"]["code"] == "upstream_truncated"


async def test_wrong_credentials_are_the_operator_s_to_mend(behind, caplog):
    behind.proxy.wants = "Basic b3RoZXI="
    variable = f"{behind.scheme.upper()}_PROXY"
    answered = await behind.gateway.chat(**NAMED)
    assert (answered.status, answered.code) == (502, "upstream_credentials")
    assert f"the proxy of {variable} wants other credentials (407)" in answered.json["error"]["message"]
    answered = await behind.gateway.chat()
    assert (answered.status, answered.headers["x-optyx-provider"]) == (200, "google")
    row = await behind.gateway.row(answered.request_id)
    assert [attempt["failure"] for attempt in json.loads(row["attempts"]) if attempt["provider"] == "openai"] == [
        "credentials"
    ]
    told = answered.body.decode() + caplog.text + row["attempts"] + repr(behind.gateway.config.egress)
    assert not [secret for secret in ("s&cret", USER, PROOF.split()[1]) if secret in told]
    assert behind.provider.seen == []


async def test_a_proxy_that_is_away_is_told_and_passed_by(behind):
    await behind.proxy.stop()
    answered = await behind.gateway.chat(**NAMED)
    assert (answered.status, answered.code) == (502, "upstream_error")
    assert f"the proxy of {behind.scheme.upper()}_PROXY: " in answered.json["error"]["message"]
    behind.gateway.trust_everybody()
    assert (await behind.gateway.chat()).headers["x-optyx-provider"] == "google"


@pytest.mark.parametrize(
    ("says", "wanted"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", f"does not lead to {NAME}:443: it answered 403"),
        (b"HTTP/1.1 503 No Way\r\n\r\n<html>", "it answered 503"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "the proxy does not speak HTTP"),
        (b"\r\n\r\n", "the proxy does not speak HTTP"),
        (b"x" * 100_000, "the proxy does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "the proxy closed the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\nno TLS", "the proxy of HTTPS_PROXY: the connection was closed"),
    ],
)  # fmt: skip
async def test_a_tunnel_that_is_refused_says_why(make_behind, says, wanted):
    behind = await make_behind()
    behind.proxy.says = says
    answered = await behind.gateway.chat(**NAMED)
    assert (answered.status, answered.code) == (502, "upstream_error")
    assert wanted in answered.json["error"]["message"]
    assert (await behind.gateway.chat()).headers["x-optyx-provider"] == "google"


async def test_a_proxy_that_reads_along_is_not_trusted(make_behind):
    """Whoever ends our TLS has to have a certificate for the provider's name."""
    behind = await make_behind(trusts=False)
    answered = await behind.gateway.chat(**NAMED)
    assert (answered.status, answered.code) == (502, "upstream_error")
    assert "TLS: certificate: self-signed certificate" in answered.json["error"]["message"]
    assert behind.provider.seen == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_proxy_itself_may_speak_tls(make_behind, scheme):
    behind = await make_behind(scheme, proxy_scheme="https")
    assert (await behind.gateway.chat(**NAMED)).status == 200
    assert len(behind.proxy.asked) == len(behind.provider.seen) == 1


async def test_the_test_of_a_provider_goes_the_same_way(behind):
    behind.provider.enqueue(whole({"object": "list", "data": [{"id": "gpt"}]}))
    tested = (await behind.gateway.admin("POST", "/providers/openai/test", {})).json
    steps = {step["name"]: step for step in tested["steps"]}
    assert tested["ok"], tested
    assert steps["connect"]["detail"] == f"the proxy of {behind.scheme.upper()}_PROXY, port {behind.proxy.port}"
    assert steps["tls"]["detail"] == ("none: plain http" if behind.scheme == "http" else "certificate good for 0 d")
    assert len(behind.provider.seen) == 1


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
async def test_it_holds_for_a_real_worker_too(make_behind, proxy_scheme, database_url, connection, tmp_path, upstream):
    """Its event loop is uvloop, the tests' own is asyncio's: TLS is started on a connection that exists already, inside TLS even."""
    behind = await make_behind(proxy_scheme=proxy_scheme)
    url = f"{proxy_scheme}://{USER}@127.0.0.1:{behind.proxy.port}"
    key = await seeded(connection)
    surroundings = {**of_a_fleet(database_url, upstream), "HTTPS_PROXY": url, "OPENAI_BASE_URL": f"https://{NAME}/v1"}
    fleet = Fleet(tmp_path / "fleet", free_port(), **surroundings)
    try:
        await fleet.start()
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            for stream in (False, True):
                body = {"messages": [{"role": "user", "content": "Hi"}], "stream": stream, **NAMED}
                async with session.post(f"{fleet.url}/v1/chat/completions", json=body) as response:
                    assert response.status == 200, await response.text()
                    assert (b"[DONE]" if stream else b"chat.completion") in await response.read()
        assert behind.proxy.asked == [f"CONNECT {NAME}:443"]
        assert await fleet.stop() == 0
    finally:
        fleet.kill()


PROXY = proxy_of("HTTPS_PROXY")("http://proxy.corp:3128")


@pytest.mark.parametrize(
    ("entry", "is_exempt", "is_not"),
    [
        ("example.com", ["example.com", "api.EXAMPLE.com", "example.com."], ["notexample.com", "example.com.evil.net"]),
        (".example.com", ["example.com", "api.example.com"], ["notexample.com"]),
        ("*.example.com", ["api.example.com"], ["example.org"]),
        ("10.0.0.0/8", ["10.1.2.3"], ["11.1.2.3", "ten.example.com"]),
        ("192.168.1.7", ["192.168.1.7"], ["192.168.1.70"]),
        ("fd00::/8", ["fd00::1"], ["fe00::1"]),
        ("[fd00::1]", ["fd00::1"], ["fd00::2"]),
        ("api.example.com:443", ["api.example.com"], ["example.com"]),
        ("api.example.com:8443", [], ["api.example.com"]),
        ("other.org, api.example.com", ["api.example.com", "other.org"], []),
        ("*", ["anything.at.all", "1.2.3.4"], []),
        ("", [], ["example.com"]),
    ],
)  # fmt: skip
def test_who_is_exempt(entry, is_exempt, is_not):
    egress = Egress(https=PROXY, exempt=exemptions(entry))
    assert [host for host in is_exempt if egress.toward("https", host, 443)] == []
    assert [host for host in is_not if not egress.toward("https", host, 443)] == []


@pytest.mark.parametrize("host", ["localhost", "x.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_never_asked_of_a_proxy(host):
    assert Egress(http=PROXY, https=PROXY).toward("http", host, 80) is None


def test_each_scheme_has_its_own_proxy():
    egress = Egress(https=PROXY)
    assert egress.toward("https", "example.com", 443) is PROXY
    assert egress.toward("http", "example.com", 80) is None


def test_they_are_read_as_curl_reads_them():
    read = config.load(
        {"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:2", "HTTP_PROXY": "bare:3128"}
    ).egress
    assert (read.https.host, read.https.port, read.http.host, read.http.port) == ("small", 1, "bare", 3128)


@pytest.mark.parametrize(
    "value", ["socks5://h:1", "http://", "http://h:port", "ftp://h", "http://pass@word@h/path", "h:99999"]
)
def test_a_bad_proxy_stops_the_start_without_showing_it(value):
    with pytest.raises(ConfigError, match="HTTPS_PROXY wants a proxy such as") as told:
        config.load({"HTTPS_PROXY": value})
    assert repr(value) not in str(told.value)
