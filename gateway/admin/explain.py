"""`POST /explain`: what would happen to this request. The data plane answers itself, by the steps of a real call; nothing is sent or held."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Desk, Nothing
from gateway.admin.schema.explain import Explanation, ToldLimit, ToldRefusal, ToldTarget
from gateway.catalog import Key, Project
from gateway.errors import NotFound, Refusal
from gateway.instants import iso_of
from gateway.ledger import usd
from gateway.limits.limits import Standing
from gateway.networks import read_address
from gateway.providers.provider import Endpoint

ENDPOINTS: dict[str, Endpoint] = {"chat": "chat", "chat/completions": "chat", "embeddings": "embeddings"}


class Question(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`key_id`, or `project` (id or slug) for a key without limits of its own. `endpoint`: chat or embeddings, or the path. `body`: the
    request's JSON, or its text as it would be sent. `address`: where it would come from; none: from where the key may be used."""

    key_id: str = ""
    project: str = ""
    endpoint: str = "chat"
    headers: dict[str, str] = {}
    address: str = ""
    body: dict[str, Any] | str = {}


async def explain(ask: Ask[Question, Nothing]) -> Explanation:
    question = ask.body
    if bool(question.key_id) == bool(question.project):
        refuse([("key_id", "give either key_id or project")])
    endpoint = ENDPOINTS.get(question.endpoint.strip("/").removeprefix("v1/"))
    if endpoint is None:
        refuse([("endpoint", "it is chat or embeddings")])
    assert endpoint is not None  # refuse raises
    client = read_address(question.address) if question.address else None
    if question.address and client is None:
        refuse([("address", f"{question.address[:80]!r} is no IPv4 or IPv6 address")])
    project, key = _who(ask.desk, question)
    body = question.body.encode() if isinstance(question.body, str) else msgspec.json.encode(question.body)
    told = await ask.desk.explain(project, key, endpoint, question.headers, body, client)
    return Explanation(
        status=told.status,
        refusal=_refusal(told.refusal) if told.refusal else None,
        endpoint=told.endpoint,
        project=told.project,
        key=told.key,
        allowed_addresses=told.allowed_addresses,
        tier=told.tier,
        requested_model=told.requested_model,
        why=told.why,
        stream=told.stream,
        user=told.user,
        tags=told.tags,
        targets=[ToldTarget(**msgspec.structs.asdict(one)) for one in told.targets],
        limits=[_limit(one) for one in told.limits],
        prompt_tokens_estimate=told.prompt_tokens_estimate,
        max_output_tokens=told.max_output_tokens,
        cost_ceiling_nusd=told.cost_ceiling_nusd,
        cost_ceiling_usd=None if told.cost_ceiling_nusd is None else usd(told.cost_ceiling_nusd),
        arithmetic=told.arithmetic,
    )


def _who(desk: Desk, question: Question) -> tuple[Project, Key | None]:
    """From the catalog, as a call would find them. Of a rotated key the newer secret counts."""
    catalog = desk.catalog
    if question.key_id:
        keys = [key for key in catalog.keys.values() if key.id == question.key_id]
        key = max(keys, key=lambda one: one.expires_at or float("inf"), default=None)
        project = catalog.projects.get(key.project_id) if key else None
        if key is None or project is None:
            raise NotFound(f"There is no key {question.key_id[:80]!r}.", param="key_id")
        return project, key
    named = (one for one in catalog.projects.values() if question.project in (one.id, one.slug))
    project = next(named, None)
    if project is None:
        raise NotFound(f"There is no project {question.project[:80]!r}.", param="project")
    return project, None


def _refusal(refusal: Refusal) -> ToldRefusal:
    return ToldRefusal(
        status=refusal.status, code=refusal.code, type=refusal.type, message=refusal.message, param=refusal.param,
        retry_after_s=refusal.retry_after_s,
    )  # fmt: skip


def _limit(standing: Standing) -> ToldLimit:
    return ToldLimit(
        scope=standing.scope, name=standing.name, kind=standing.kind, window=standing.window, size=standing.size, needs=standing.needs,
        left=standing.left, is_enough=standing.refusal is None,
        resets_at=iso_of(standing.resets_at) if standing.resets_at is not None else None,
    )  # fmt: skip
