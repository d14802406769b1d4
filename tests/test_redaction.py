"""What captured text may not hold, and what must stay."""

import json

import pytest

from gateway.redaction import passes_luhn, readable, redacted

KEY = "sk-" + "a1B2" * 6


@pytest.mark.parametrize(
    ("text", "left", "count"),
    [
        ("write to anna.b+x@mail.example.co.uk now", "write to ⟦email⟧ now", 1),
        (f"my key is {KEY}.", "my key is ⟦key⟧.", 1),
        ("sk-optyx-abcdefgh-0123456789abcdef", "⟦key⟧", 1),
        ("AIza" + "x" * 35, "⟦key⟧", 1),
        ("ghp_" + "x" * 36 + " AKIAABCDEFGHIJKLMNOP", "⟦key⟧ ⟦key⟧", 2),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ⟦key⟧", 1),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "⟦key⟧", 1),
        ('{"api_key":"correct horse"}', '{"api_key":"⟦secret⟧"}', 1),
        ("card 4111 1111 1111 1111, or 5500-0000-0000-0004", "card ⟦card⟧, or ⟦card⟧", 2),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "⟦key⟧", 1),
        ("order 4111 1111 1111 1112 of 2026-11-24", "order 4111 1111 1111 1112 of 2026-11-24", 0),
        ("a @ b, sk-short, 3.14159265358979323846, bearer of news", "a @ b, sk-short, 3.14159265358979323846, bearer of news", 0),
        ('"url":"data:image/png;base64,' + "A" * 100 + '"', '"url":"data:image/png;base64,⟦100 characters⟧"', 0),
        ("[" + ",".join(["-0.125"] * 768) + "]", '"⟦768 numbers⟧"', 0),
    ],
)  # fmt: skip
def test_what_is_taken_out_and_what_stays(text, left, count):
    assert redacted(text) == (left, count)


def test_an_escape_of_json_hides_nothing():
    raw = b'{"content":"mail \\u0061nna\\u0040example.com or \\u0073k-' + b"a1B2" * 6 + b'"}'
    text, count = redacted(readable(raw))
    assert (json.loads(text), count) == ({"content": "mail ⟦email⟧ or ⟦key⟧"}, 2)


def test_what_is_no_json_is_looked_at_as_text():
    assert redacted(readable(b"\xff anna@example.com"))[1] == 1
    assert readable(b"[" * 100_000) == "[" * 100_000


@pytest.mark.parametrize("number", ["4111111111111111", "378282246310005", "6011 1111 1111 1117"])
def test_the_check_digit(number):
    assert passes_luhn(number)
    assert not passes_luhn(number[:-1] + str((int(number[-1]) + 1) % 10))
