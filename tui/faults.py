"""What went wrong in a command, and the exit status that says so. Every way to fail ends here, and is one line to people.

0 done · 1 gateway or unexpected error · 2 usage, configuration, or would have to ask · 3 cannot connect · 4 not signed in or not
allowed · 5 not found · 6 conflict · 7 rejected as invalid · 8 refused by a limit or budget · 9 findings · 124 time ran out ·
130 interrupted · 141 the reader closed the pipe
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui.wire import GatewayError, Unreachable

FAILED, USAGE, CANNOT_CONNECT, NOT_ALLOWED, NOT_FOUND, CONFLICT, INVALID, REFUSED, FINDINGS = range(1, 10)
TIME_RAN_OUT, INTERRUPTED, PIPE_CLOSED = 124, 130, 141

OF_STATUS = {
    400: INVALID, 401: NOT_ALLOWED, 402: REFUSED, 403: NOT_ALLOWED, 404: NOT_FOUND, 405: INVALID, 409: CONFLICT,
    412: CONFLICT, 413: INVALID, 415: INVALID, 422: INVALID, 429: REFUSED,
}  # fmt: skip
RETRYABLE = frozenset({408, 429, 502, 503, 504})

HINTS = {
    "invalid_admin_token": "sign in with `optyx login`, or set OPTYX_ADMIN_TOKEN; `optyx config explain` says which token was used",
    "precondition_failed": "someone changed it meanwhile: look at it again, then repeat the command",
    "database_unavailable": "`optyx doctor` says more",
    "provider_not_configured": "`optyx providers list` shows which credential is missing",
    "invalid_api_key": "`optyx keys create` makes a key",
}
OF_CODE = {NOT_ALLOWED: "`optyx whoami` shows your role", NOT_FOUND: "the `list` command shows what there is"}


class Fault(Exception):
    """`exit`: the status. `code`: finer, and stable. `hint`: what to do about it."""

    def __init__(
        self,
        message: str,
        *,
        exit: int = FAILED,
        code: str = "error",
        hint: str = "",
        status: int | None = None,
        field: str | None = None,
        request_id: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.exit, self.code, self.hint = message, exit, code, hint
        self.status, self.field, self.request_id, self.retryable = status, field, request_id, retryable

    def envelope(self) -> dict[str, Any]:
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "hint": self.hint or None,
                "status": self.status,
                "field": self.field,
                "request_id": self.request_id or None,
                "retryable": self.retryable,
            }
        }


def usage(message: str, hint: str = "", code: str = "usage") -> Fault:
    """The command line or the configuration is wrong; nothing was sent."""
    return Fault(message, exit=USAGE, code=code, hint=hint)


def said_no(error: GatewayError) -> Fault:
    status = OF_STATUS.get(error.status, FAILED)
    message = str(error) + (f" (field {error.param})" if error.param and error.param not in str(error) else "")
    return Fault(
        message,
        exit=status,
        code=error.code or f"http_{error.status}",
        hint=HINTS.get(error.code) or OF_CODE.get(status, ""),
        status=error.status,
        field=error.param,
        request_id=error.request_id,
        retryable=error.status in RETRYABLE,
    )


def not_reached(error: Unreachable) -> Fault:
    if error.is_slow:
        return Fault(str(error), exit=TIME_RAN_OUT, code="timeout", hint="--timeout 60s waits longer", retryable=True)
    return Fault(
        f"the gateway can't be reached: {error}",
        exit=CANNOT_CONNECT,
        code="unreachable",
        hint="start one with `optyx up`, or name another with --url or --context; `optyx doctor` looks for the cause",
        retryable=True,
    )
