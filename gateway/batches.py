"""One call that its provider takes in several requests, such as more texts to embed than fit one: sent one after the other, as one attempt.
Called by `proxy/exchange`."""

from __future__ import annotations

import time

import msgspec

from gateway.catalog import Provider, Timeouts
from gateway.ledger import Usage, total
from gateway.providers.provider import Failure, UpstreamRequest
from gateway.reply import Reply
from gateway.upstream import Asker, Upstream


async def fetch(
    upstream: Upstream,
    provider: Provider,
    request: UpstreamRequest,
    timeouts: Timeouts,
    asker: Asker,
) -> tuple[Reply, Usage | None]:
    """The last reply with every answer in it, as a JSON array in order; or the first that is no answer. All of them share one timeout and
    one limit of size. And what the answers that came have counted: a provider bills them also when a later one fails."""
    due = time.monotonic() + timeouts.whole_ms / 1000
    pieces: list[bytes] = []
    counted: Usage | None = None
    size = first_byte_ns = 0
    reply: Reply | None = None
    for body in (request.body, *request.more):
        if reply is not None and asker.is_gone:
            reply.failure, reply.aborted = Failure("reset", "closed by us"), True
            return reply, counted
        left_ms = max(1, round((due - time.monotonic()) * 1000))
        part = msgspec.structs.replace(request, body=body, more=[])
        share = msgspec.structs.replace(timeouts, whole_ms=left_ms)
        reply = await upstream.fetch(provider, part, share, False, asker)
        if reply.failure is not None or not reply.is_answer:
            return reply, counted
        answer = reply.body()
        said = request.count(answer) if request.count is not None else None
        counted = total(one for one in (counted, said) if one is not None)
        size += len(answer)
        if size > reply.limit:
            reply.failure = Failure("malformed", f"the answer is larger than {reply.limit >> 20} MiB", reply.status)
            return reply, counted
        first_byte_ns = first_byte_ns or reply.first_byte_ns
        pieces += [b"," if pieces else b"[", answer]
    assert reply is not None  # there is always a first body
    reply.chunks, reply.first_byte_ns = [*pieces, b"]"], first_byte_ns
    return reply, counted
