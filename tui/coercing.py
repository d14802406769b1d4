"""Words of the command line into values, for the few kinds that our commands take, without what Typer would load for it.

Typer 0.29 turns each value with pydantic, whose import costs 200–350 ms: more than everything else that a list needs. So parameters get
a converter of their own. `test_spec` holds that every parameter of the tree has one, and `test_frame` that pydantic stays away.
"""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

import typer

KINDS = (str, int, float, bool)


class Converter:
    """What Typer calls for a value; `None` and lists are handled as its own converters do."""

    def __init__(self, kind: type, is_list: bool) -> None:
        self.kind, self.is_list = kind, is_list

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Raises typer.BadParameter."""
        if value is None:
            return [] if self.is_list and param.nargs == -1 else None
        if self.is_list:
            return [self._one(item, param, ctx) for item in value]
        return self._one(value, param, ctx)

    def _one(self, value: Any, param: Any, ctx: Any) -> Any:
        if self.kind in (str, bool) or not isinstance(value, str):
            return value
        try:
            number = self.kind(value)
        except ValueError:
            raise typer.BadParameter(
                f"{value!r} is no {'whole ' if self.kind is int else ''}number", ctx=ctx, param=param
            ) from None
        low, high = getattr(param, "min", None), getattr(param, "max", None)
        if (low is not None and number < low) or (high is not None and number > high):
            span = f"from {low} up" if high is None else f"from {low} to {high}"
            raise typer.BadParameter(f"{value} is out of range: {span}", ctx=ctx, param=param)
        return number


def converter_for(annotation: Any) -> Converter | None:
    """None for what we do not know: Typer's own is used then."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [one for one in get_args(annotation) if one is not type(None)]
        annotation = rest[0] if len(rest) == 1 else annotation
    if get_origin(annotation) is list:
        inner = get_args(annotation)[0]
        return Converter(inner, True) if inner in KINDS else None
    return Converter(annotation, False) if annotation in KINDS else None


HELP_NAMES = ["-h", "--help"]


def lighten(command: Any) -> None:
    """Gives every parameter of a command and of those in it its converter; the help option, made once, as well."""
    own_help = command.get_help_option(typer.Context(command, help_option_names=HELP_NAMES))
    for param in (*command.params, own_help):
        if hasattr(param, "type_descriptor"):
            param._runtime_param = converter_for(param.type_descriptor.annotation)
    for inner in getattr(command, "commands", {}).values():
        lighten(inner)
