"""Our own parsers meet whatever bytes there are: what they take, an independent parser reads the same way; what they don't is refused in our
words. A good input is changed in a few places, so that most of what is tried is nearly right."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway import keyring
from gateway.addresses import refused_url
from gateway.admin import filter as grammar
from gateway.errors import BadRequest
from gateway.networks import client_of, read_list
from gateway.proxy import body
from gateway.proxy.heading import read_heading
from gateway.shortcut import MAX_BODY, Head, read_head
from tests.wire import GOOD, post

TRIES = settings(max_examples=int(os.environ.get("FUZZ", 500)), derandomize="FUZZ" not in os.environ, deadline=None)
PIECES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b",", b";", b"\x0b", b"\x85", b"\xff", b"0", b"9", b"+", b"-", b"0x", b"{", b"}", b"[",
        b'"', b"\\u0000", b"\\ud800", b"NaN", b"1e999", b"\r\n ", b"\r\n\r\n", b"POST / HTTP/1.1\r\n", b"\r\nTransfer-Encoding: chunked",
        b"chunked", b"\r\nContent-Length: 5", b"\r\nHost: y", b"\r\nExpect: 100-continue", b"\r\nConnection: close", b"HTTP/1.0", b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
    ]
)  # fmt: skip
ANYTHING = st.binary(max_size=4)
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), PIECES | ANYTHING), max_size=5)
"""Where (as a part of the whole), how many bytes are taken out there, and what is put in."""


def changed(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for where, gone, put in changes:
        at = round(where * len(data))
        data = data[:at] + put + data[at + gone :]
    return data


class Request:
    """A request as llhttp reads it."""

    def __init__(self, data: bytes) -> None:
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.path = b""
        self.is_whole = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method, self.version = parser.get_method(), parser.get_http_version()

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode().lower(), value.decode().strip(" \t")))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_whole = True


PLAIN = post("sk-x", GOOD, b"X-Request-Id: abc", b"User-Agent: x")


@TRIES
@given(CHANGES)
@example([])
def test_what_the_quick_way_takes_the_other_parser_reads_the_same(changes):
    data = changed(PLAIN, changes)
    head = read_head(data)
    if head is None:
        return
    payload = data[head.body_at : head.total]
    read = Request(data[: head.body_at] + payload.ljust(head.total - head.body_at, b"."))
    assert read.is_whole
    assert (read.method, read.version, read.path.decode()) == (b"POST", "1.1", head.path)
    assert len(read.body) == head.total - head.body_at <= MAX_BODY
    fields = dict(read.fields)
    assert len(fields) == len(read.fields)
    assert fields.pop("content-length").isdigit()
    assert fields == head.fields


@TRIES
@given(CHANGES, CHANGES)
@example([], [])
def test_a_head_that_is_known_again_is_the_one_that_would_be_read(first, then):
    known = read_head(changed(PLAIN, first)) or read_head(PLAIN)
    assert isinstance(known, Head)
    data = changed(PLAIN, then)
    fields = dict(known.fields)
    if known.is_again(data):
        fresh = read_head(data)
        assert fresh is not None
        assert (fresh.path, fresh.fields, fresh.body_at, fresh.total) == (
            known.path,
            fields,
            known.body_at,
            known.total,
        )


BODY = json.dumps(
    {
        "model": "gpt-6-luna", "stream": True, "n": 2, "max_tokens": 5, "user": "ü😀", "temperature": 0.5, "stop": ["a", None],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi \"you\""}]}], "stream_options": {"include_usage": True},
    },
    ensure_ascii=False,
).encode()  # fmt: skip


@TRIES
@given(CHANGES)
@example([])
@example([(0.99, 0, b',"model":"other"')])
def test_a_body_is_refused_or_every_parser_reads_what_we_act_on(changes):
    data = changed(BODY, changes)
    try:
        asked = body.parse("chat", data)
    except BadRequest:
        return
    names: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        names.extend(name for name, _ in pairs)
        return dict(pairs)

    def constant(name: str) -> None:
        raise AssertionError(name)

    values = json.loads(data.decode(), object_pairs_hook=members, parse_constant=constant)
    assert asked.body == data
    assert (asked.model, asked.stream, asked.n) == (
        values.get("model"),
        bool(values.get("stream")),
        values.get("n") or 1,
    )
    assert asked.messages == len(values["messages"])
    data.decode().encode("utf-8", "strict")


FILTER = b'status:5xx,429 -provider:openai model:gpt-* cost:>0.01 since:15m until:2026-11-25 user:"a b" tag:env=prod /gpt-[0-9]/ tokens:>10k word'


@TRIES
@given(CHANGES)
@example([])
def test_a_filter_is_read_or_refused_in_our_words(changes):
    text = changed(FILTER, changes).decode("utf-8", "replace")
    refused = None
    try:
        grammar.parse(text, 1_795_000_000.0)
    except BadRequest as error:
        refused = error
    assert refused is None or (refused.param == "filter" and refused.message.isprintable())


HEADS = {
    "x-request-id": b"req-1", "traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x-optyx-tier": b"fast",
    "x-optyx-user": "ünser".encode(), "x-optyx-tags": b"env=prod,team", "x-optyx-max-cost-usd": b"0.25", "content-type": b"application/json",
    "idempotency-key": b"k1",
}  # fmt: skip


@TRIES
@given(st.sampled_from(sorted(HEADS)), CHANGES)
def test_a_header_of_ours_is_read_or_refused_and_never_a_defect(name, changes):
    values = {name: changed(HEADS[name], changes).decode("utf-8", "surrogateescape")}
    heading = read_heading(type("Headers", (), {"header": lambda _, wanted: values.get(wanted)})())
    kept = [heading.user or "", *(heading.tags or []), heading.traceparent or "", heading.request_id or ""]
    assert all("\r" not in text and "\n" not in text and "\x00" not in text for text in kept)


@TRIES
@given(CHANGES)
def test_an_address_a_list_and_a_url_are_read_or_refused(changes):
    forwarded = changed(b"203.0.113.7, [2001:db8::1]:4711, 10.0.0.1", changes).decode("latin-1")
    client_of("10.0.0.2", forwarded, read_list("10.0.0.0/8,2001:db8::/32"))
    refused_url(changed(b"https://user@api.example.com:8443/v1", changes).decode("latin-1"))
    with contextlib.suppress(ValueError):
        read_list(changed(b"10.0.0.0/8, 2001:db8::/32", changes).decode("latin-1"))


@pytest.mark.parametrize("kind", ["key", "token"])
def test_no_changed_key_is_well_formed(kind):
    minted = keyring.mint() if kind == "key" else keyring.mint_admin_token()
    is_one = keyring.is_well_formed if kind == "key" else keyring.is_admin_token
    good = minted.text.encode()
    assert is_one(good)

    @TRIES
    @given(CHANGES)
    def changed_anyhow(changes):
        data = changed(good, changes)
        assert is_one(data) is (data == good)

    changed_anyhow()
