"""What the playground asks for: the lines of its form, what is wrong with them, and the request they make, with its cost at most."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.admin.schema.models import Model, Tier
from tui.widgets.editor import EditorPanel, Item

EPHEMERAL = "for this session"
TYPED = "typed"


def prompt_items(project: str, projects: Sequence[str]) -> list[Item]:
    return [
        Item("choice", "project", "Project", project, projects),
        Item("choice", "way", "Key", EPHEMERAL, (EPHEMERAL, TYPED)),
        Item("text", "secret", "  the key", "", secret=True),
        Item("text", "model", "Model or tier", "fast"),
        Item("text", "second", "Second model", ""),
        Item("text", "temperature", "Temperature", ""),
        Item("text", "max_tokens", "Max tokens", "512"),
        Item("choice", "stream", "Stream", "yes", ("yes", "no")),
        Item("text", "system", "System", ""),
    ]


def mistakes_of(form: EditorPanel) -> dict[str, str]:
    mistakes = {}
    temperature, most = form.value("temperature"), form.value("max_tokens")
    if temperature and not re.fullmatch(r"[0-2](\.\d+)?", temperature):
        mistakes["temperature"] = "a number from 0 to 2, or nothing"
    if most and not most.isdigit():
        mistakes["max_tokens"] = "a whole number, or nothing"
    return mistakes


def request_of(form: EditorPanel, message: str, model: str) -> dict[str, Any]:
    """The body of the call, as any OpenAI client sends it."""
    messages = [{"role": "user", "content": message}]
    if form.value("system").strip():
        messages.insert(0, {"role": "system", "content": form.value("system").strip()})
    body: dict[str, Any] = {"model": model, "messages": messages}
    if form.value("temperature"):
        body["temperature"] = float(form.value("temperature"))
    if form.value("max_tokens"):
        body["max_tokens"] = int(form.value("max_tokens"))
    if form.value("stream") == "yes":
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def tokens_in(form: EditorPanel, message: str) -> int:
    """Estimated from above, as the gateway does."""
    return len((message + form.value("system")).encode("utf-8", "replace")) // 3 + 8


def most_nusd(form: EditorPanel, message: str, tiers: Sequence[Tier], models: Sequence[Model]) -> int | None:
    """What a run can cost at most, by the price table; None when a price is unknown."""
    name = form.value("model").strip()
    tier = next((one for one in tiers if one.name == name), None)
    first = (tier.stand_in or next(iter(tier.targets), None)) if tier else None
    wanted = first.model if first else name
    model = next((one for one in models if one.id == wanted), None)
    most = form.value("max_tokens")
    if model is None or model.input_nusd is None or (most and not most.isdigit()):
        return None
    out = int(most or model.max_output_tokens or 0)
    return (tokens_in(form, message) * model.input_nusd + out * (model.output_nusd or 0)) // 1_000_000
