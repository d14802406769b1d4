"""What is asked wrongly is told by name, with what would be taken; nothing is answered as if it had been asked for."""

import base64

import pytest

REFUSED = {
    "/projects?status=gone": (422, "status: there is no 'gone'; there is active, archived."),
    "/projects/default/keys?status=\N{SNOWMAN}": (422, "status: there is no '\N{SNOWMAN}'; there is active, unused"),
    "/overview?window=9h": (422, "window: there is no '9h'; there is 5m, 15m, 1h, 24h."),
    "/billing/entries?month=2026-13": (422, "month: it is written like 2026-11."),
    "/models?provider=nobody": (404, "There is no provider 'nobody'."),
    "/prices?provider=nobody": (404, "There is no provider 'nobody'."),
    "/projects?limit=99999999999999999999": (422, "limit: "),
    "/projects?limit=0": (422, "limit: "),
    "/projects?colour=red": (422, "colour: there is no such field here (there are: status, limit, cursor)."),
    "/projects?limit=1&limit=2": (422, "limit: it is given twice."),
    "/logs?filter=%00": (422, "filter: it holds a control character"),
    "/usage?since=2026-13-45": (400, "a time is a span such as 15m"),
}
LISTS = (
    "/projects",
    "/orgs",
    "/limits",
    "/models",
    "/prices",
    "/users",
    "/tokens",
    "/audit",
    "/logs",
    "/billing/entries",
)
CURSORS = ("abc", "W10", "WzEuNV0", "WyJhIiwgMSwgMiwgM10", "bnVsbA", "eyJhIjoxfQ", "%F0%9F%98%80", "A" * 2000)


FORGED = (
    '["\\u0000"]',
    '["\\u0000","\\u0000"]',
    '["0001-01-01T00:00:00+14:00","x"]',
    '["9999-12-31T23:59:59-14:00","x"]',
    "[99999999999999999999]",
    "[-1]",
    '["a","\\u0000","2026-01-01T00:00:00Z","x"]',
    '["budget","\\u0000","","","",""]',
    '["rate","\\ud800","","","",""]',
)


@pytest.mark.parametrize("path", sorted(REFUSED))
async def test_a_wrong_parameter_is_named_with_what_would_be_taken(gateway, path):
    status, says = REFUSED[path]
    answered = await gateway.admin("GET", path)
    assert answered.status == status
    assert says in answered.json["error"]["message"]


async def test_a_cursor_that_is_none_is_refused_by_every_list(gateway):
    for path in LISTS:
        for cursor in CURSORS:
            answered = await gateway.admin("GET", f"{path}?cursor={cursor}")
            assert answered.status == 400, (path, cursor, answered.json)
            assert "cursor" in answered.json["error"]["message"]


async def test_enums_and_patterns_of_bodies_too(gateway):
    answered = await gateway.admin(
        "POST", "/providers", {"name": "Not This", "kind": "acme", "base_url": "http://127.0.0.1"}
    )
    message = answered.json["error"]["message"]
    assert answered.status == 422
    assert "name: it is written like vllm-2" in message
    assert "kind: there is no 'acme'; there is openai, google, anthropic" in message


@pytest.mark.parametrize("name", ["a\nb", "a\n", "\tb", "  ", "a\u2028b", "a\r", "a\x85b"])
async def test_a_name_is_one_line(gateway, name):
    """In a list, a log line or a pipe a second one would be taken for another's."""
    for path in ("/projects", "/projects/default/keys"):
        told = await gateway.admin("POST", path, {"name": name})
        assert (told.status, told.json["error"]["message"]) == (422, "name: it is a name on one line.")


async def test_a_forged_cursor_is_never_a_failure_of_the_gateways(gateway):
    for path in (*LISTS, "/projects/default/keys", "/projects/default/settings/history"):
        for place in FORGED:
            cursor = base64.urlsafe_b64encode(place.encode()).rstrip(b"=").decode()
            answered = await gateway.admin("GET", f"{path}?cursor={cursor}")
            assert answered.status in (200, 400), (path, place, answered.json)
