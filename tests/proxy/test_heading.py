"""What a request's head says of its call, and that a head that comes again is not taken for another."""

import pytest

from gateway.proxy.heading import Heading, read_heading

TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


class Sent:
    def __init__(self, **fields: str) -> None:
        self.header = {name.replace("_", "-"): value for name, value in fields.items()}.get


def test_everything_a_head_can_say():
    heading = read_heading(
        Sent(
            x_request_id="mine", x_optyx_user="ann", x_optyx_tags="a, b=1", traceparent=TRACE, x_optyx_tier=" Smart ", x_optyx_max_cost_usd="0.5",
            idempotency_key="once", content_type="application/json; charset=utf-8", content_encoding="identity",
        )
    )  # fmt: skip
    assert heading == Heading("mine", "ann", ["a", "b=1"], TRACE, "smart", 500_000_000, "once")
    assert read_heading(Sent()) == Heading()


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"content_encoding": "gzip"}, 415, "gzip"),
        ({"content_type": "text/plain"}, 415, "text/plain"),
        ({"x_optyx_user": "x" * 257}, 400, "x-optyx-user"),
        ({"x_optyx_tags": ",".join("abcdefghijklmnopq")}, 400, "x-optyx-tags"),
        ({"x_optyx_max_cost_usd": "-1"}, 400, "negative"),
        ({"x_optyx_max_cost_usd": "much"}, 400, "much"),
        ({"idempotency_key": ""}, 400, "Idempotency-Key"),
    ],
)
def test_what_is_malformed_is_refused_and_the_rest_stands(fields, status, word):
    heading = read_heading(Sent(traceparent="no such thing", x_request_id="mine", **fields))
    assert heading.refusal is not None
    assert (heading.refusal.status, heading.request_id, heading.traceparent) == (status, "mine", None)
    assert word in heading.refusal.message


async def test_a_connection_that_is_kept_tells_heads_apart(gateway):
    """One connection, the quick way in: the same head, another user, a malformed one, the same again."""
    for user, status in (("ann", 200), ("ann", 200), ("bob", 200), ("x" * 300, 400), ("bob", 200)):
        answered = await gateway.chat(headers={"x_optyx_user": user})
        assert answered.status == status
        row = await gateway.row(answered.request_id)
        assert row["user"] == (user if status == 200 else None)
        [shortcut] = gateway.worker.shortcuts
        assert shortcut._last is not None
        assert (shortcut._last.heading is None) is (status == 400)


async def test_a_route_is_chosen_anew_when_the_catalog_changes(gateway):
    assert (await gateway.chat(model="gpt-6-luna")).status == 200
    await gateway.execute("UPDATE models SET enabled = false WHERE id = 'gpt-6-luna'")
    assert (await gateway.chat(model="gpt-6-luna")).status == 404
    await gateway.execute("UPDATE models SET enabled = true WHERE id = 'gpt-6-luna'")
    assert (await gateway.chat(model="gpt-6-luna")).status == 200
