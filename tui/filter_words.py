"""The fields of the log's filter as people type them (docs/filters.md), for completion and the command bar, and so that `-provider:openai`
on a command line is a filter and not the flag -p. The gateway knows what they mean."""

from __future__ import annotations

import re

TYPED = (
    "status:4xx", "status:5xx", "status:429", "model:", "project:", "key:", "provider:", "tier:", "err:", "end:", "id:", "call:", "trace:",
    "ttft:>2s", "total:>8s", "overhead:>5ms", "cost:>0.05", "tokens:>10k", "in:>10k", "out:>1k", "cached:>0", "reasoning:>0", "attempts:>1",
    "stream:yes", "cache:hit", "endpoint:", "user:", "tag:", "source:", "price:", "version:", "worker:", "since:15m", "since:1h", "since:24h",
    "until:",
)  # fmt: skip
NAMES = tuple(dict.fromkeys(word.partition(":")[0] for word in TYPED))
NEGATED = re.compile(rf"-({'|'.join(NAMES)}):")


def in_quotes(value: str) -> str:
    """A value that is taken as it is, whatever it holds."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
