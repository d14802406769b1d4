from __future__ import annotations

import pytest

from gateway.depth import MAX_DEPTH, is_too_deep


@pytest.mark.parametrize(
    ("data", "too_deep"),
    [
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, False),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), True),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), True),
        (b"[" + b",".join([b"[{}]"] * 2_000) + b"]", False),
        (b'["' + b"[" * 10_000 + b'"]', False),
        (b'["' + rb"\"[\\\"{" * 10_000 + b'"]', False),
        (b'{"' + b"{" * 10_000 + b'":"\\"}', False),
        (b'["\\\\",' * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1), True),
        (b"", False),
    ],
)
def test_only_what_is_nested_counts(data, too_deep):
    assert is_too_deep(data) is too_deep
