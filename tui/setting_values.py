"""`path=value` as typed, into what the admin API takes."""

from __future__ import annotations

from typing import Any

from tui.faults import usage
from tui.figures import calls

NAMES = ("default_tier", "tiers", "allowed_models", "failover", "capture", "timezone")
UPKEEP = ("version", "updated_at", "updated_by", "audit_id", "id")
WORDS = {
    "null": None,
    "default": None,
    "true": True,
    "on": True,
    "yes": True,
    "false": False,
    "off": False,
    "no": False,
}


OUTCOMES = {"refused": "refused", "no_fallback": "no fallback", "elsewhere": "goes elsewhere"}
"""What a preview says of calls, in a word."""


def of_the_day(refused: int, no_fallback: int, elsewhere: int, examined: int) -> str:
    """What a preview says of all calls, in a sentence without its end."""
    others = ((elsewhere, "gone elsewhere"), (no_fallback, "had no fallback"))
    rest = "".join(f", {number:,} would have {what}" for number, what in others if number)
    return f"{refused:,} of {calls(examined)} of the last 24 h would have been refused{rest}"


def without_upkeep(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings themselves, in the order of NAMES."""
    return {name: settings.get(name) for name in NAMES}


def changes_of(words: list[str], known: tuple[str, ...] | None = NAMES) -> dict[str, Any]:
    """Raises Fault."""
    changes: dict[str, Any] = {}
    for word in words:
        path, equals, text = word.partition("=")
        name, _, rest = path.partition(".")
        if not equals or (known is not None and name not in known) or (rest and name != "tiers"):
            there = f"there are {', '.join(known)} and tiers.NAME" if known else "it is NAME=VALUE"
            raise usage(f"{word!r} is no setting", there)
        if rest:
            tiers = changes.setdefault("tiers", {})
            tiers[rest] = targets_of(text)
        elif name == "allowed_models" and not text.startswith("["):
            changes[name] = None if text in ("null", "all", "default") else [one for one in text.split(",") if one]
        else:
            changes[name] = scalar(text)
    return changes


def scalar(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if text[:1] in "{[":
        import json

        try:
            return json.loads(text)
        except ValueError as error:
            raise usage(f"{text}: it begins like JSON, and is none: {error}") from None
    return int(text) if text.isdigit() else text


def targets_of(text: str) -> list[dict[str, str]]:
    """`openai/gpt-x,google/gemini-y`, in this order. Raises Fault."""
    targets = []
    for one in filter(None, text.split(",")):
        provider, slash, model = one.partition("/")
        if not (slash and provider and model):
            raise usage(f"{one!r} is no target", "PROVIDER/MODEL, comma-separated, first choice first")
        targets.append({"provider": provider, "model": model})
    return targets
