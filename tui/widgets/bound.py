"""Textual's bindings out of the table of keys."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from tui import keys


def bindings(*scopes: str) -> list[BindingType]:
    """What a widget or view of these scopes answers to; ids let the user's keymap rebind them."""
    return [
        Binding(
            action.keys, action.run, action.label or action.tooltip, show=False, id=action.id, tooltip=action.tooltip
        )
        for scope in scopes
        for action in keys.ACTIONS
        if action.scope == scope and action.run
    ]
