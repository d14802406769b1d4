"""Rows to catalog. Pure: called by `refresh` with what it read from the database or from its snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.catalog import (
    NO_RULES,
    Budget,
    Catalog,
    Key,
    KeyId,
    Limit,
    Model,
    OrgId,
    Project,
    ProjectId,
    Provider,
    ProviderId,
    Rules,
    Settings,
    Target,
    Timeouts,
)
from gateway.ledger import Price
from gateway.networks import networks_of
from gateway.secret import Secret
from gateway.store.catalog import ConfigRows, KeyRow

Tiers = dict[str, tuple[Target, ...]]

FREE = Price("free", 0, 0)


class Surroundings(msgspec.Struct, frozen=True):
    """What a catalog is built from besides rows: the environment, the opener of sealed credentials, the demo's sandbox."""

    variable: Callable[[str], str | None]
    default_of: Callable[[str], str | None]
    open_sealed: Callable[[bytes, str], bytes | None]
    sandbox_url: str | None = None


def build(rows: ConfigRows, keys: Mapping[bytes, Key], around: Surroundings) -> Catalog:
    providers = {row[0]: _provider(row, around) for row in rows.providers}
    models = _models(rows, providers)
    by_pair: dict[tuple[str, str], Model] = {(model.provider.id, model.id): model for model in models}
    by_names = {(model.provider.name, model.id): model for model in models}
    tiers = _tiers(rows.tiers, by_pair, around)
    rules = _rules(rows)
    projects = {row[0]: _project(row, tiers, by_names, rules, around) for row in rows.projects}
    return Catalog(
        epoch=rows.epoch,
        keys=keys,
        projects=projects,
        models=_by_name(models),
        tiers=tiers,
        providers={provider.name: provider for provider in providers.values()},
        key_rules={subject: found for (scope, subject), found in rules.items() if scope == "key"},
        settings=_settings(rows.settings),
    )


def build_keys(rows: Iterable[KeyRow]) -> dict[bytes, Key]:
    return {row.digest: build_key(row) for row in rows}


def build_key(row: KeyRow) -> Key:
    return Key(
        id=KeyId(row.id),
        public_id=row.public_id,
        name=row.name,
        project_id=ProjectId(row.project_id),
        digest=row.digest,
        disabled=row.disabled,
        expires_at=row.expires_at,
        allowed_models=None if row.allowed_models is None else frozenset(row.allowed_models),
        networks=None if row.allowed_addresses is None else networks_of(tuple(row.allowed_addresses)),
    )


def _provider(row: tuple[Any, ...], around: Surroundings) -> Provider:
    id_, name, kind, base_url, source, sealed, version, enabled, is_sandbox, timeouts, connections, on_disconnect = row
    variable = source.removeprefix("env:") if source.startswith("env:") else None
    text: str | None = None
    if variable is not None:
        text = around.variable(variable)
    elif sealed is not None:
        opened = around.open_sealed(sealed, f"provider {id_} {version}")
        text = opened.decode() if opened is not None else None
    url, is_default = base_url, False
    if base_url.startswith("env:"):
        name_of_url = base_url.removeprefix("env:")
        url = around.variable(name_of_url) or around.default_of(name_of_url) or ""
        is_default = url == around.default_of(name_of_url)
    if is_sandbox:
        url, enabled = around.sandbox_url or "http://127.0.0.1:9", enabled and around.sandbox_url is not None
    return Provider(
        id=ProviderId(id_),
        name=name,
        kind=kind,
        base_url=url.rstrip("/"),
        credential=Secret(text) if text else None,
        # a server of the user's own (vLLM, llama.cpp) mostly wants no key; the vendors' own addresses always do
        needs_credential=source == "sealed" or (variable is not None and is_default),
        credential_variable=variable,
        enabled=enabled,
        timeouts=_timeouts(timeouts, Timeouts()),
        max_connections=connections,
        on_disconnect=on_disconnect,
        is_sandbox=is_sandbox,
    )


def _timeouts(text: str | None, base: Timeouts) -> Timeouts:
    given = msgspec.json.decode(text) if text else None
    if not given:
        return base
    return msgspec.structs.replace(
        base, **{name: value for name, value in given.items() if name in Timeouts.__struct_fields__}
    )


def _models(rows: ConfigRows, providers: Mapping[str, Provider]) -> list[Model]:
    prices = prices_by_model(rows.models, rows.prices)
    return [
        Model(
            id=id_,
            provider=providers[provider_id],
            upstream_name=upstream_name,
            mode=mode,
            max_input_tokens=max_input,
            max_output_tokens=max_output,
            enabled=enabled,
            prices=prices[provider_id, id_],
            created=created,
            patterns=_patterns(id_) | _patterns(f"{providers[provider_id].name}/{id_}"),
        )
        for id_, provider_id, upstream_name, mode, max_input, max_output, enabled, created, _ in rows.models
    ]


def _patterns(name: str) -> frozenset[str]:
    """Made once here, so that a call asks only whether two sets meet."""
    return frozenset(name[:length] + "*" for length in range(len(name) + 1))


def prices_by_model(
    models: Iterable[tuple[Any, ...]], prices: Iterable[tuple[Any, ...]]
) -> dict[tuple[str, str], tuple[Price, ...]]:
    """By provider id and model id, oldest first; also for `reprice`, which must not wait for a worker's catalog."""
    dated: dict[tuple[str, str], list[Price]] = {}
    for row in prices:
        dated.setdefault((row[1], row[2]), []).append(_price(row))
    return {(row[1], row[0]): (FREE,) if row[8] else tuple(dated.get((row[1], row[0]), ())) for row in models}


def _price(row: tuple[Any, ...]) -> Price:
    (
        id_,
        _,
        _,
        since,
        input_,
        output,
        cached,
        written,
        above_tokens,
        above_input,
        above_output,
        above_cached,
        above_written,
    ) = row
    above = None
    if above_tokens is not None and above_input is not None and above_output is not None:
        above = Price(id_, above_input, above_output, above_cached, above_written, since)
    return Price(id_, input_, output, cached, written, since, above_tokens, above)


def _by_name(models: list[Model]) -> dict[str, Model]:
    """`provider/id` always; the bare id for the first provider that has it, an enabled one before a disabled one."""
    named: dict[str, Model] = {}
    for model in sorted(models, key=lambda model: not (model.enabled and model.provider.enabled)):
        named.setdefault(model.id, model)
        named[model.full_name] = model
    return named


def _target(model: Model, timeouts: str | None) -> Target:
    return Target(model, _timeouts(timeouts, model.provider.timeouts))


def _tiers(rows: list[tuple[Any, ...]], models: Mapping[tuple[str, str], Model], around: Surroundings) -> Tiers:
    """The demo's sandbox stands first in every tier; the database knows nothing of it."""
    tiers: dict[str, list[Target]] = {}
    modes: dict[str, str] = {}
    for name, mode, provider_id, model_id, timeouts in rows:
        targets, modes[name] = tiers.setdefault(name, []), mode
        model = models.get((provider_id, model_id))
        if model is not None and not model.provider.is_sandbox:
            targets.append(_target(model, timeouts))
    if around.sandbox_url is not None:
        for name, targets in tiers.items():
            stand_in = _sandbox_model(name, modes[name], models)
            if stand_in is not None:
                targets.insert(0, _target(stand_in, None))
    return {name: tuple(targets) for name, targets in tiers.items()}


def _sandbox_model(tier: str, mode: str, models: Mapping[tuple[str, str], Model]) -> Model | None:
    own = sorted((m for m in models.values() if m.provider.is_sandbox and m.mode == mode), key=lambda model: model.id)
    return next((model for model in own if model.id == f"sandbox-{tier}"), own[0] if own else None)


def _project(
    row: tuple[Any, ...],
    tiers: Tiers,
    models: Mapping[tuple[str, str], Model],
    rules: Mapping[tuple[str, str], Rules],
    around: Surroundings,
) -> Project:
    id_, slug, name, org_id, default_tier, own_tiers, allowed, failover, capture, timezone, archived, _ = row
    resolved = dict(tiers)
    for tier, targets in (msgspec.json.decode(own_tiers) if own_tiers else {}).items():
        chosen = []
        for target in targets:
            model = models.get((target["provider"], target["model"]))
            if model is not None:
                given = target.get("timeouts")
                chosen.append(_target(model, msgspec.json.encode(given).decode() if given else None))
        resolved[tier] = tuple(chosen)
    return Project(
        id=ProjectId(id_),
        slug=slug,
        name=name,
        org_id=OrgId(org_id),
        tiers=resolved,
        default_tier=default_tier or "fast",
        allowed_models=None if allowed is None else frozenset(allowed),
        failover=failover,
        capture=capture,
        timezone=timezone,
        archived=archived,
        rules=rules.get(("project", id_), NO_RULES),
        org_rules=rules.get(("org", org_id), NO_RULES),
        user_rules=rules.get(("user", id_), NO_RULES),
    )


def _rules(rows: ConfigRows) -> dict[tuple[str, str], Rules]:
    limits: dict[tuple[str, str], list[Limit]] = {}
    budgets: dict[tuple[str, str], list[Budget]] = {}
    for id_, scope, subject, name, rpm, tpm, concurrency, model, tier in rows.limits:
        limits.setdefault((scope, subject), []).append(
            Limit(id_, scope, subject, name, rpm, tpm, concurrency, model or None, tier or None)
        )
    for (
        id_,
        scope,
        subject,
        amount,
        window,
        timezone,
        model,
        tier,
        raise_,
        until,
        soft,
        downgrade,
        name,
    ) in rows.budgets:
        budgets.setdefault((scope, subject), []).append(
            Budget(
                id_,
                scope,
                subject,
                amount,
                window,
                timezone,
                model or None,
                tier or None,
                raise_,
                until or 0.0,
                soft,
                downgrade,
                name,
            )
        )
    return {key: Rules(tuple(limits.get(key, ())), tuple(budgets.get(key, ()))) for key in {*limits, *budgets}}


def _settings(rows: list[tuple[Any, ...]]) -> Settings:
    """Rows of names that this version does not know are left alone."""
    given = {name: msgspec.json.decode(value) for name, value in rows if name in Settings.__struct_fields__}
    return msgspec.convert(given, Settings)
