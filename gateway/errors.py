"""Every way to say no, and the one body they share.

    Refusal 500                internal_error (a defect of ours; its log says more)
    ├─ BadRequest 400          invalid_json · invalid_request · unsupported_parameter · duplicate_key · max_cost_exceeded ·
    │                          filter_too_slow (admin) · request_timeout (408: a body that comes too slowly)
    ├─ InvalidApiKey 401       invalid_api_key
    ├─ InvalidAdminToken 401   invalid_admin_token
    ├─ Forbidden 403           model_not_allowed · address_not_allowed · forbidden (admin: the role lacks the right)
    ├─ NotFound 404            model_not_found · not_found
    ├─ MethodNotAllowed 405    method_not_allowed
    ├─ Conflict 409            idempotency_in_progress · conflict (admin)
    ├─ PreconditionFailed 412  precondition_failed
    ├─ TooLarge 413            request_too_large
    ├─ UnsupportedMedia 415    unsupported_media_type · unsupported_encoding
    ├─ Unprocessable 422       idempotency_mismatch · invalid_request (admin, a field's value)
    ├─ LimitReached 429        rate_limit_exceeded · insufficient_quota · upstream_rate_limited
    ├─ UpstreamFailed 502      upstream_error · upstream_truncated · upstream_credentials
    ├─ Unavailable 503         upstream_unavailable · provider_not_configured · accounting_unavailable · key_store_unavailable ·
    │                          budget_unavailable · overloaded · draining · database_unavailable (admin)
    ├─ UpstreamTimeout 504     upstream_timeout
    ├─ Refusal 505             http_version_not_supported
    └─ UpstreamRefused 4xx     upstream_refused (a provider's own 4xx about the request: its status, its words, its code where it has one)

Raised by steps, rendered once by `render`. Making one does nothing else: no log, no metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.catalog import Key, Project


class Refusal(Exception):
    """Our no. `message` is for the caller and says what, where and what to do; it never holds a key, a prompt or a traceback."""

    status = 500
    type = "server_error"
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers = dict(headers) if headers else {}
        if code is not None:
            self.code = code
        if type is not None:
            self.type = type
        if status is not None:
            self.status = status


class BadRequest(Refusal):
    status, type, code = 400, "invalid_request_error", "invalid_request"


class InvalidApiKey(Refusal):
    status, type, code = 401, "invalid_request_error", "invalid_api_key"

    def __init__(self) -> None:
        super().__init__(
            "Incorrect API key provided. Send a valid Optyx key as 'Authorization: Bearer sk-optyx-…' or 'x-api-key'.",
            headers={"WWW-Authenticate": "Bearer"},
        )


class InvalidAdminToken(Refusal):
    status, type, code = 401, "invalid_request_error", "invalid_admin_token"

    def __init__(self) -> None:
        super().__init__(
            "Incorrect admin token. Send 'Authorization: Bearer sk-optyx-admin-…'; see credentials.json in OPTYX_HOME.",
            headers={"WWW-Authenticate": "Bearer"},
        )


class Forbidden(Refusal):
    status, type, code = 403, "invalid_request_error", "model_not_allowed"


class AddressNotAllowed(Forbidden):
    """The right key from the wrong address: somebody's call, which `key` and `project` name for the log."""

    code = "address_not_allowed"

    def __init__(self, message: str, key: Key, project: Project) -> None:
        super().__init__(message)
        self.key = key
        self.project = project


class NotFound(Refusal):
    status, type, code = 404, "invalid_request_error", "not_found"


class MethodNotAllowed(Refusal):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class Conflict(Refusal):
    status, type, code = 409, "invalid_request_error", "conflict"


class PreconditionFailed(Refusal):
    status, type, code = 412, "invalid_request_error", "precondition_failed"


class TooLarge(Refusal):
    status, type, code = 413, "invalid_request_error", "request_too_large"


class UnsupportedMedia(Refusal):
    status, type, code = 415, "invalid_request_error", "unsupported_media_type"


class Unprocessable(Refusal):
    status, type, code = 422, "invalid_request_error", "invalid_request"


class LimitReached(Refusal):
    """A limit of ours, or every target's. `type` is `requests`, `tokens`, `concurrency` or `insufficient_quota`."""

    status, type, code = 429, "requests", "rate_limit_exceeded"


class UpstreamFailed(Refusal):
    status, type, code = 502, "server_error", "upstream_error"


class Unavailable(Refusal):
    status, type, code = 503, "server_error", "upstream_unavailable"


class UpstreamTimeout(Refusal):
    status, type, code = 504, "server_error", "upstream_timeout"


class UpstreamRefused(Refusal):
    """The provider's own word about the request: `status`, `message`, `type`, `param` and `code` are the provider's."""

    status, type, code = 400, "invalid_request_error", "upstream_refused"


def body(error: Refusal) -> bytes:
    """The one JSON body of every error, as bytes."""
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
    )


def headers(error: Refusal) -> dict[str, str]:
    """What goes with the body: content type, `Retry-After` (whole seconds, 1–60) and what the refusal itself carries.

    429 and 503 always carry `Retry-After`; 502 and 504 say `x-should-retry: false`, because our own attempts are spent and an
    SDK's retries would multiply them.
    """
    fields = {"Content-Type": "application/json", **error.headers}
    if error.status in (429, 503):
        wait_s = 1.0 if error.retry_after_s is None else error.retry_after_s
        fields["Retry-After"] = str(max(1, min(60, -int(-wait_s // 1))))
    elif error.status in (502, 504):
        fields["x-should-retry"] = "false"
    return fields
