"""No target answered: which status says it best. Pure; called by `exchange` when nothing is left to try."""

from __future__ import annotations

from gateway import errors
from gateway.catalog import Target
from gateway.providers.provider import Failure
from gateway.proxy.call import Call
from gateway.proxy.choose import Route
from gateway.records import NOT_TRIED

Failures = list[tuple[Target, Failure]]


def no_target_left(call: Call, route: Route, failures: Failures) -> errors.Refusal:
    """The refusal for a call whose targets all failed. What was really tried counts before what was not."""
    tried = [(target, failure) for target, failure in failures if failure.kind not in NOT_TRIED]
    return _of_tried(tried, failures) if tried else _of_untried(route, failures)


def _of_tried(tried: Failures, failures: Failures) -> errors.Refusal:
    kinds = {failure.kind for _, failure in tried}
    resting = [failure for _, failure in failures if failure.kind == "resting"]
    told = _told(failures)
    if kinds == {"rate_limited"} and all(failure.code == "rate_limited" for failure in resting):
        return _rate_limited([failure for _, failure in failures], told)
    if kinds == {"timeout"}:
        return errors.UpstreamTimeout(f"No provider answered in time: {told}.")
    if kinds == {"credentials"}:
        return errors.UpstreamFailed(
            f"The provider refused the gateway's own credential: {told}. The operator has to mend it.",
            code="upstream_credentials",
        )
    if kinds == {"truncated"}:
        return errors.UpstreamFailed(f"The provider's answer broke off: {told}.", code="upstream_truncated")
    return errors.UpstreamFailed(f"No provider could answer: {told}.")


def _of_untried(route: Route, failures: Failures) -> errors.Refusal:
    every = [failure for _, failure in failures]
    kinds = {failure.kind for failure in every}
    told = _told(failures)
    if any(failure.code == "forced" for failure in every):
        return errors.Unavailable(
            f"OPTYX_FORCE_OPENAI_FAILOVER is set, so OpenAI counts as failed, and no other target is left: {told}.",
            retry_after_s=5,
        )
    if kinds == {"unconfigured"}:
        variables = " or ".join(dict.fromkeys(failure.code or "a credential" for failure in every))
        return errors.Unavailable(
            f"No provider is configured for this call: set {variables} and start the gateway again.",
            code="provider_not_configured",
            retry_after_s=60,
        )
    if kinds == {"unsupported"}:
        return errors.BadRequest(
            f"No target of tier '{route.tier}' can do '{every[0].param}': {told}.",
            code=every[0].code or "unsupported_parameter",
            param=every[0].param,
        )
    if "overloaded" in kinds:
        return errors.Unavailable(f"Every connection is busy: {told}.", code="overloaded", retry_after_s=1)
    resting = [failure for failure in every if failure.kind == "resting"]
    if resting and all(failure.code == "rate_limited" for failure in resting):
        return _rate_limited(resting, told)
    return errors.Unavailable(f"Every target rests: {told}.", retry_after_s=_shortest(resting))


def _rate_limited(failures: list[Failure], told: str) -> errors.LimitReached:
    return errors.LimitReached(
        f"Every provider is at its rate limit: {told}.",
        type="requests",
        code="upstream_rate_limited",
        retry_after_s=_shortest(failures),
    )


def _shortest(failures: list[Failure]) -> float:
    waits = [failure.retry_after_s for failure in failures if failure.retry_after_s is not None]
    return min(waits) if waits else 1.0


def _told(failures: Failures) -> str:
    """`openai/gpt-x: HTTP 500; google/gemini-y: no first byte in 2 s`."""
    lines = [f"{target.model.full_name}: {failure.detail or failure.kind}" for target, failure in failures]
    return "; ".join(dict.fromkeys(lines)) or "no target"
