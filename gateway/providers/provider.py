"""What a provider adapter is: bytes to bytes, no I/O, no config, no logging. Called by `proxy/exchange` and `proxy/forward`.

One adapter module per kind (`openai`, `google`, `anthropic`) exposes one object that satisfies `Adapter`. An adapter never sees a
connection: it is given the caller's request as raw JSON fields, says what to send, and translates what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from gateway.ledger import Usage

Endpoint = Literal["chat", "embeddings"]

FailureKind = Literal[
    "connect",  # no connection: refused, DNS, TLS, connect timeout counts as `timeout`
    "reset",  # the connection died before an answer was complete
    "timeout",  # connect, first byte, idle, whole or total; `detail` says which
    "status",  # an HTTP status that is a failure of the target (408, 5xx)
    "rate_limited",  # 429; `retry_after_s` where the provider said so
    "credentials",  # 401/402/403: our misconfiguration, or an account without money
    "truncated",  # the answer ended before it was complete
    "malformed",  # the answer can't be understood (not JSON, a redirect, an encoding we did not ask for, an error event)
    "refused",  # the provider's own 4xx about the request: goes to the caller, no other target is tried
    "unsupported",  # the request has a parameter this kind can't express; `param` names it
    "resting",  # not tried: the circuit is open
    "unconfigured",  # not tried: no credential
    "overloaded",  # not tried: connection cap reached
]


class Failure(msgspec.Struct):
    """An upstream's no, as a value. `message` is safe to show to the caller: it never holds a credential."""

    kind: FailureKind
    detail: str = ""
    status: int | None = None
    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    usage: Usage | None = None
    """What the provider counted, and bills, although it is no answer."""


class UpstreamRequest(msgspec.Struct):
    """What to send: `path` is appended to the provider's base URL (starts with `/`, already quoted), headers carry the credential."""

    path: str
    headers: list[tuple[str, str]]
    body: bytes
    method: str = "POST"
    more: list[bytes] = []
    """Further bodies for the same place, where one request can't take all. Their answers come to `translate` as one JSON array, in order."""
    count: Callable[[bytes], Usage | None] | None = None
    """What one of several answers says was used: it is billed also when a later one fails."""


_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def members(body: bytes) -> dict[str, bytes]:
    """Every top-level member of a JSON object as raw JSON bytes, in order."""
    return {name: bytes(member) for name, member in _decode_members(body).items()}


class Ask(msgspec.Struct):
    """The caller's request: `body` as it came (valid, no name twice), and what is known of it. `model` is the upstream's name of the model to
    ask, `given_model` what the body says."""

    endpoint: Endpoint
    model: str
    stream: bool
    body: bytes
    given_model: str | None = None
    has_tool_calls: bool = True
    """Some message has a tool call, or answers one."""
    include_usage: bool = False
    """The caller asked for the usage chunk (`stream_options.include_usage`)."""
    strict: bool = True
    """The caller named this model: a parameter without equivalent is a refusal. False inside a tier, where unsupported means skip;
    both come back as a `Failure` of kind `unsupported`, the difference is the caller's business."""
    max_tokens_cap: int | None = None
    """Set when the request has no max tokens and the hold assumed this many: the adapter adds it to what it sends."""
    can_count: bool = True
    """False for a server that refused to be asked for the usage of a stream: then it isn't, and tokens are estimated."""
    _fields: dict[str, bytes] | None = None

    @property
    def fields(self) -> dict[str, bytes]:
        """Its top-level members. Opened when first asked for: a body that goes on as it came never is, which saves 2 µs."""
        if self._fields is None:
            self._fields = members(self.body)
        return self._fields


class Answer(msgspec.Struct):
    """A whole answer in OpenAI's shape. `usage` None: the provider reported none."""

    body: bytes
    usage: Usage | None
    finish: str | None = None


class StreamTranslator(Protocol):
    """Translates one stream, chunk by chunk. Not shared between streams.

    `feed` takes upstream bytes in any split and returns the bytes for the client, possibly empty: whole SSE events only where the
    bytes must change; for pass-through the chunk itself. After each call the attributes say what is known so far.
    """

    usage: Usage | None  # last wins; None until the provider reported any
    usage_is_partial: bool  # the provider has counted the prompt alone so far; what was generated is our estimate
    complete: bool  # every choice finished, or [DONE] was seen
    failure: Failure | None  # the stream carried an error event or something that can't be translated
    started: bool  # at least one valid event has been seen: the answer may be committed
    done: bool  # [DONE] was seen or everything owed was given: nothing more follows
    finish: str | None  # last finish_reason seen

    @property
    def tokens_seen(self) -> int:
        """An estimate of the tokens generated so far, for when no usage comes."""
        ...

    def feed(self, chunk: bytes) -> bytes: ...

    def close(self) -> bytes:
        """The upstream ended cleanly. Returns what is still owed: held-back bytes, the usage chunk for a caller who asked, a
        missing `data: [DONE]`. Only when `complete`; otherwise returns b"" and leaves `failure` as `truncated`."""
        ...


class Adapter(Protocol):
    """One kind of provider."""

    def build(self, ask: Ask, base_url: str, credential: str | None) -> UpstreamRequest | Failure:
        """The upstream request, or `unsupported` with the parameter's name. Always asks for usage on streams, and for
        `accept-encoding: identity`."""
        ...

    def translate(self, ask: Ask, status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
        """A 2xx answer's whole body into OpenAI's shape, or `malformed`/`truncated`. `headers` has lower-case names."""
        ...

    def stream(self, ask: Ask) -> StreamTranslator:
        """A translator for a 2xx streamed answer."""
        ...

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What a non-2xx answer means, with the provider's message cleaned of credentials and control characters."""
        ...
