"""A project's settings as the lines of a form, and the form as the API takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.admin.schema.models import Model, Tier
from gateway.admin.schema.settings import Settings
from tui import figures
from tui.widgets.editor import EditorPanel, Item


def settings_items(values: Settings, gateway_tiers: Sequence[Tier], models: Sequence[Model]) -> list[Item]:
    """The lines of the form, with a box for every model of the catalog."""
    allowed = values.allowed_models
    tiers = ["(gateway)", *(one.name for one in gateway_tiers if one.name != "embedding")]
    items = [
        Item("head", "models-head", "MODELS"),
        Item("choice", "default_tier", "Default tier", values.default_tier or "(gateway)", tiers),
    ]
    for tier in gateway_tiers:
        own = (values.tiers or {}).get(tier.name)
        usual = ", ".join(f"{one.provider}/{one.model}" for one in tier.targets)
        if tier.stand_in is not None:
            usual = f"{tier.stand_in.provider}/{tier.stand_in.model} (demo), {usual}"
        text = ", ".join(f"{one.provider}/{one.model}" for one in own) if own is not None else ""
        items.append(Item("text", f"tier:{tier.name}", f"Tier {tier.name}", text, note=usual))
    items.append(
        Item("choice", "mode", "Models allowed", "all" if allowed is None else "only listed", ("all", "only listed"))
    )
    known = [one.id for one in models]
    patterns = [name for name in allowed or [] if name not in known]
    for model in models:
        price = (
            f"{figures.dollars(model.input_nusd, 2)} / {figures.dollars(model.output_nusd, 2)}"
            if model.input_nusd is not None
            else "no price"
        )
        items.append(Item("check", f"model:{model.id}", model.id, model.id in (allowed or []), note=price))
    items.append(Item("head", "models-more", ""))
    items.append(Item("text", "patterns", "Patterns", ", ".join(patterns)))
    items += [
        Item("head", "ways-head", "WAYS"),
        Item("choice", "failover", "Failover", "on" if values.failover else "off", ("on", "off")),
        Item("head", "privacy-head", "PRIVACY AND TIME"),
        Item("choice", "capture", "Capture bodies", "on" if values.capture else "off", ("off", "on")),
        Item("text", "timezone", "Time zone", values.timezone or ""),
    ]
    return items


def settings_of(form: EditorPanel) -> dict[str, Any]:
    """The form as the API takes it, every field."""
    names = {item.name for item in form.items}
    tiers = {
        name.removeprefix("tier:"): targets_of(form.value(name))
        for name in names
        if name.startswith("tier:") and form.value(name).strip()
    }
    chosen = [item.name.removeprefix("model:") for item in form.items if item.kind == "check" and item.value]
    patterns = [part.strip() for part in form.value("patterns").split(",") if part.strip()]
    default = form.value("default_tier")
    return {
        "default_tier": None if default == "(gateway)" else default,
        "tiers": tiers or None,
        "allowed_models": None if form.value("mode") == "all" else [*patterns, *chosen],
        "failover": form.value("failover") == "on",
        "capture": form.value("capture") == "on",
        "timezone": form.value("timezone").strip() or None,
    }


def targets_of(text: str) -> list[dict[str, str]]:
    pairs = [part.strip().partition("/") for part in text.split(",") if part.strip()]
    return [{"provider": provider, "model": model} for provider, _, model in pairs]


def item_of(name: str) -> str:
    """The form's line for a field of the API."""
    if name.startswith("tiers."):
        return "tier:" + name.split(".")[1].split("[")[0]
    return {"allowed_models": "patterns", "tiers": "tier:fast"}.get(name.partition(".")[0].partition("[")[0], name)
