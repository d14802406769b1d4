"""A new key: what is asked about it, and how it is asked for. The keys view shows the secret once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gateway.admin.schema.keys import Key, NewKey
from tui import clock
from tui.calls import Client
from tui.widgets.form import Field

if TYPE_CHECKING:
    from tui.app import OptyxApp


def key_fields(project: str, projects: Sequence[str], like: Key | None) -> list[Field]:
    """`projects`: those to choose from, none where the project is known; `like`: the key whose ways the new one takes over."""
    models = ", ".join(like.allowed_models or []) if like else ""
    addresses = ", ".join(like.allowed_addresses or []) if like else ""
    return [
        *([Field("project", "Project", project, choices=tuple(projects[:6]))] if projects else []),
        Field(
            "name",
            "Name",
            f"{like.name}-2" if like else "",
            "who or what uses it",
            lambda text: "" if text else "needed",
        ),
        Field("expires", "Expires", "90d", choices=("30d", "90d", "365d", "never")),
        Field("models", "Models", models, "empty: the project's; or a list like gpt-6*, gemini-4-argon"),
        Field("rpm", "Requests/min", str(like.rpm or "") if like else "", "empty: the project's", whole_or_none),
        Field("budget", "Budget $/month", "", "empty: the project's", money_or_none),
        Field("addresses", "Used from", addresses, "empty: everywhere; or networks like 10.0.0.0/8", networks_or_none),
    ]


def make_key(app: OptyxApp, project: str, answers: dict[str, str], unasked: str) -> None:
    """Asks the gateway for a key; the keys view shows it once. `unasked`: as for any change of a view."""
    body: dict[str, Any] = {"name": answers["name"]}
    if answers.get("expires", "never") != "never":
        body["expires_at"] = (
            f"{clock.moment() + timedelta(days=int(answers['expires'].removesuffix('d'))):%Y-%m-%dT%H:%M:%SZ}"
        )
    for field, name in (("models", "allowed_models"), ("addresses", "allowed_addresses")):
        listed = parts(answers.get(field, ""))
        if listed:
            body[name] = listed
    limits: dict[str, Any] = {}
    if answers.get("rpm"):
        limits["rpm"] = int(answers["rpm"])
    if answers.get("budget"):
        limits["budgets"] = [{"amount_usd": answers["budget"], "window": "1mo"}]

    def make(client: Client) -> NewKey:
        made = client.create_key(project, body)
        if limits:
            client.save_limits("key", made.id, limits)
        return made

    app.view_for("keys").change("made", make, unasked)


def parts(text: str) -> list[str]:
    """What stands between commas or spaces."""
    return [part for part in re.split(r"[,\s]+", text) if part]


def networks_or_none(text: str) -> str:
    import ipaddress  # 3 ms of a start, for those who make a key

    for part in parts(text):
        try:
            ipaddress.ip_network(part)
        except ValueError:
            return f"{part} is no address and no network such as 10.0.0.0/8"
    return ""


def whole_or_none(text: str) -> str:
    return "" if not text or (text.isdigit() and int(text) > 0) else "a whole number above 0, or nothing"


def money_or_none(text: str) -> str:
    return "" if not text or re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else "an amount like 25 or 0.50, or nothing"
