"""`POST /providers/{id}/test`: a provider tried step by step, the answer whole or as it comes about.

event: progress    data: a ProviderTest: what is done, the step under way (`running`), what is to come (`waiting`)
event: done        data: the same with every step decided
event: error       data: {"error": …}
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from gateway import errors
from gateway.admin import asked as a
from gateway.admin.desk import Ask, Nothing
from gateway.admin.provider_steps import Failed, Trial
from gateway.admin.schema.providers import ProviderTest, Step
from gateway.catalog import Model, Provider
from gateway.errors import NotFound

log = logging.getLogger(__name__)


async def test(ask: Ask[a.ProviderTest, Nothing]) -> ProviderTest | web.StreamResponse:
    trial = _trial(ask)
    try:
        if ask.body.stream:
            return await _told_as_it_goes(ask, trial)
        return [told async for told in _walk(trial)][-1]
    finally:
        trial.close()


async def _told_as_it_goes(ask: Ask[a.ProviderTest, Nothing], trial: Trial) -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "x-request-id": ask.request_id}
    response = web.StreamResponse(headers=headers)  # aiohttp-sse answers GET alone
    await response.prepare(ask.request)
    try:
        async for told in _walk(trial):
            await response.write(_event(told))
    except ConnectionError:
        pass  # the client left: no further step is taken
    except Exception:
        log.exception("the test of provider %s ended in a defect of the gateway", trial.provider.name)
        refusal = errors.Refusal("The gateway has a defect; its log says more.")
        await response.write(b"event: error\ndata: %b\n\n" % errors.body(refusal))
    return response


def _event(told: ProviderTest) -> bytes:
    is_over = all(step.state not in ("running", "waiting") for step in told.steps)
    return b"event: %b\ndata: %b\n\n" % (b"done" if is_over else b"progress", msgspec.json.encode(told))


async def _walk(trial: Trial) -> AsyncIterator[ProviderTest]:
    """What is known, again and again: before each step and at the end. What stands behind a failure is skipped."""
    plan = trial.steps()
    steps = [Step(name=name, state="waiting") for name, _ in plan]
    for index, (name, run) in enumerate(plan):
        steps[index] = Step(name=name, state="running")
        yield ProviderTest(steps=list(steps))
        begun = time.perf_counter()
        try:
            state, detail = "ok", await run()
        except Failed as failed:
            state, detail = "failed", _without_secret(str(failed), trial.provider)
        ms = round((time.perf_counter() - begun) * 1e3, 1)
        steps[index] = Step(name=name, state=state, ms=ms, detail=detail)
        if state == "failed":
            steps[index + 1 :] = [Step(name=later, state="skipped") for later, _ in plan[index + 1 :]]
            break
    yield ProviderTest(steps=steps, ok=all(step.state == "ok" for step in steps))


def _trial(ask: Ask[a.ProviderTest, Nothing]) -> Trial:
    """Of the provider as this worker would use it, with its address and credential resolved."""
    catalog, wanted = ask.desk.catalog, ask.path["id"]
    provider = next((one for one in catalog.providers.values() if wanted in (one.id, one.name)), None)
    if provider is None:
        raise NotFound(f"There is no provider {wanted[:80]!r}.")
    in_tiers = [target.model for targets in catalog.tiers.values() for target in targets]
    used = [model.upstream_name for model in in_tiers if model.provider is provider]
    model = _model(ask, provider, in_tiers) if ask.body.chat else None
    return Trial(provider, ask.desk.adapters[provider.kind], model, used, ask.desk.config.egress)


def _model(ask: Ask[a.ProviderTest, Nothing], provider: Provider, in_tiers: list[Model]) -> Model:
    """The model that was asked for, else the first chat model of the provider's in a tier, else its first."""
    wanted = ask.body.model
    for model in (*in_tiers, *ask.desk.catalog.models.values()):
        if model.provider is provider and (model.mode == "chat" if wanted is None else model.id == wanted):
            return model
    raise NotFound(f"{provider.name} has no {'chat model' if wanted is None else f'model {wanted[:80]!r}'}.")


def _without_secret(text: str, provider: Provider) -> str:
    """Some providers repeat the key they were given."""
    if provider.credential:
        text = text.replace(provider.credential.reveal(), "***")
    return text[:500]
