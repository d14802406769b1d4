"""One strict reading of a body: what two parsers could understand differently is a 400, quickly, and never a 5xx."""

import json
import time

from tests.upstream import whole

SAID = b'"messages":[{"role":"user","content":"x"}]'

TORTURE = [
    b"",
    b" ",
    b"null",
    b"true",
    b"7",
    b'"text"',
    b"[]",
    b"{",
    b"}",
    b"{}{}",
    b"{" + SAID,
    b"{" + SAID + b"}}",
    b"{" + SAID + b"} x",
    b"{" + SAID + b",}",
    b"{," + SAID + b"}",
    b'{"messages":[,]}',
    b'{"messages":[{"role":"user","content":"x"},]}',
    b"{'messages':[]}",
    b"{messages:[]}",
    b"{" + SAID + b"} // comment",
    b"{/**/" + SAID + b"}",
    *(b"{" + SAID + b',"temperature":' + number + b"}" for number in (
        b"NaN", b"Infinity", b"-Infinity", b"nan", b"1e999", b"-1e999", b"01", b"+1", b".5", b"1.", b"0x10", b"1_000", b"--1", b"1e", b"9" * 5000,
    )),
    *(b'{"messages":[{"role":"user","content":"' + text + b'"}]}' for text in (
        b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\n", b"\x00", b"\x1f", b"\\x41", b"\\u12", b"\\ud800", b"\\udc00",
        b"\\ud800 and more", b"\\ud800\\u0041", b"\\udc00\\ud800", b"\\",
    )),
    b'{"\\ud800":1,' + SAID + b"}",
    b'{"\xff":1,' + SAID + b"}",
    "{\"messages\":[]}".encode("utf-16"),
    "{\"messages\":[]}".encode("utf-32"),
    b"\xef\xbb\xbf{" + SAID + b"}",
    b'{"messages":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    b'{"messages":' + b"[" * 200_000 + b"}",
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b"{" + SAID + b',"user":"' + b"\\u0" * 10 + b'"}',
    b"tru",
]  # fmt: skip

TWICE = [
    b"{" + SAID + b',"model":"fast","model":"smart"}',
    b'{"model":"fast",' + SAID + b',"model":"fast"}',
    b"{" + SAID + b',"model":"fast","\\u006dodel":"smart"}',
    b"{" + SAID + b',"m\\u006Fdel":"fast","model":"smart"}',
    b'{ "model" : "fast", ' + SAID + b', "model" : "smart" }',
    b'{\n"model":"fast",\n' + SAID + b',\n"model":"smart"\n}',
    b"{" + SAID + b"," + SAID + b"}",
    b"{" + SAID + b',"stream":false,"stream":true}',
    b"{" + SAID + b',"max_tokens":1,"max_tokens":100000}',
    b"{" + SAID + b',"n":1,"n":128}',
    b"{" + SAID + b',"":1,"":2}',
    b"{" + SAID + b',"\xc3\xa4":1,"\\u00e4":2}',
    b"{" + SAID + b',"x":1,"x":null}',
    b'{"messages":[{"role":"user","role":"system","content":"x"}]}',
    b'{"messages":[{"role":"user","content":"x","content":"y"}]}',
    b'{"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}',
    b"{" + SAID + b',"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}',
    b"{" + SAID + b',"metadata":{"a":1,"a":1}}',
    b"{"
    + SAID
    + b',"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"p":{},"p":{}}}}}]}',
    b"{" + SAID + b',"temperature":1e0,"temperature":1.0}',
]


async def test_broken_json_is_refused_quickly_and_says_so(gateway):
    assert len(TORTURE) >= 40
    for path in ("/v1/chat/completions", "/v1/embeddings"):
        for body in TORTURE:
            started = time.perf_counter()
            answered = await gateway.post(path, body)
            took = time.perf_counter() - started
            assert (answered.status, answered.code) == (400, "invalid_json"), (body[:80], answered.body)
            assert took < 1, (body[:80], took)
    assert gateway.upstream.seen == []


async def test_a_name_twice_in_one_object_is_refused_and_named(gateway):
    for body in TWICE:
        answered = await gateway.post("/v1/chat/completions", body)
        assert (answered.status, answered.code) == (400, "duplicate_key"), (body, answered.body)
        assert answered.json["error"]["param"] in answered.json["error"]["message"]
    assert gateway.upstream.seen == []


async def test_what_only_looks_odd_is_sent_on_as_it_came(gateway):
    for extra in (
        b'"seed":1e2',
        b'"temperature":1.50',
        b'"x":18446744073709551616',
        b'"x":"\\u00e4\\/\\ud83d\\ude00"',
        b'"x":"\xc3\xa4\xe2\x80\xa8"',
        b'"x" :\t{"a":{"a":{"a":[1,{"a":2}]}}}',
        b'"x":[{"a":1},{"a":1}]',
        b'"x":"\\"model\\":\\"model\\""',
        b'"x":' + b"[" * 100 + b"]" * 100,
    ):
        answered = await gateway.post("/v1/chat/completions", b"{" + SAID + b"," + extra + b"}")
        assert answered.status == 200, (extra, answered.body)
        assert extra.partition(b":")[2].strip() in gateway.upstream.seen[-1].body
        assert gateway.upstream.seen[-1].body.count(b'"model":') == 1


WRONG_KINDS = [
    ("model", [7, True, [], {}, "", "a b", "x" * 257, "ä", "a\nb"]),
    ("stream", ["yes", 1, "true", []]),
    ("stream_options", ["x", 1, []]),
    ("max_tokens", [0, -1, 1.5, "5", True, [], 1 << 60]),
    ("max_completion_tokens", [0, -1, 1.5, "5", True]),
    ("n", [0, -1, 1.5, "2", True, 129]),
    ("user", [1, [], {}]),
    ("messages", [None, "x", {}, [], 5]),
]


async def test_a_field_of_the_wrong_kind_is_named(gateway):
    for field, value in ((field, value) for field, bad in WRONG_KINDS for value in bad):
        body = {"messages": [{"role": "user", "content": "x"}], "stream": field == "stream_options", field: value}
        answered = await gateway.post("/v1/chat/completions", body)
        assert (answered.status, answered.code) == (400, "invalid_request"), (value, answered.body)
        assert answered.json["error"]["param"] == field
        assert field in answered.json["error"]["message"]
    assert gateway.upstream.seen == []


async def test_embeddings_need_an_input_that_can_be_one(gateway):
    for value in (None, [], "", 5, {}, [1.5], [None], [""], ["a", 5], [[]], [["a"]], [[1], "a"], True):
        answered = await gateway.post("/v1/embeddings", {"input": value})
        assert (answered.status, answered.code, answered.json["error"]["param"]) == (400, "invalid_request", "input"), (
            value
        )
    for name, value in (("encoding_format", "binary"), ("encoding_format", 5), ("dimensions", 0), ("dimensions", "x")):
        answered = await gateway.post("/v1/embeddings", {"input": "x", name: value})
        assert (answered.status, answered.json["error"]["param"]) == (400, name)
    answered = await gateway.post(
        "/v1/embeddings", {"input": "x", "dimensions": None, "encoding_format": None, "user": "u"}
    )
    assert answered.status == 200
    assert gateway.upstream.seen


async def test_null_is_as_good_as_absent(gateway):
    nothing = dict.fromkeys(["model", "stream", "stream_options", "max_tokens", "n", "user", "temperature", "tools"])
    gateway.upstream.enqueue(
        whole({"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]})
    )
    answered = await gateway.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], **nothing})
    assert answered.status == 200
    assert json.loads(gateway.upstream.seen[0].body)["model"] == "gpt-6-luna"
