"""Bodies and queries into structs. Strict: an unknown field, a wrong value or a character that no name may hold is refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from gateway.depth import is_too_deep
from gateway.errors import BadRequest, Unprocessable

T = TypeVar("T", bound=msgspec.Struct)

DEEPEST = 64
_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters (a terminal may run them, Postgres refuses NUL) and lone surrogates, which no UTF-8 can hold."""
_PLACE = re.compile(r"(.*?)(?: - at `\$(?:\.?(.*))`)?", re.DOTALL)


def decode_body(raw: bytes, kind: type[T]) -> T:
    """Raises BadRequest for what is no JSON object, Unprocessable naming every field that is wrong."""
    if not raw.strip():
        raw = b"{}"
    try:
        given = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.", code="invalid_json") from None
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {error}.", code="invalid_json") from None
    if is_too_deep(raw):
        raise BadRequest("The body is nested too deeply.", code="invalid_json")
    if not isinstance(given, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    return convert(given, kind, strict=True)


def decode_query(pairs: Iterable[tuple[str, str]], kind: type[T]) -> T:
    """Query parameters, each at most once; an empty value counts as not given."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            raise Unprocessable(f"{name[:80]}: it is given twice.", param=name[:80])
        given[name] = value
    return convert({name: value for name, value in given.items() if value != ""}, kind, strict=False)


def convert(given: Mapping[str, Any], kind: type[T], *, strict: bool) -> T:
    """Field by field, so that every wrong one is named at once. Raises Unprocessable."""
    problems: list[tuple[str, str]] = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        field = fields.get(name)
        if field is None:
            problems.append((name[:80], "there is no such field here" + _known(fields)))
            continue
        unwanted = _unwanted(value, name, 0)
        if unwanted is not None:
            problems.append(unwanted)
            continue
        try:
            values[field.name] = msgspec.convert(value, field.type, strict=strict)
        except msgspec.ValidationError as error:
            where, reason = _placed(_inside(name, value, field.type, strict), str(error))
            problems.append((where, _taken(field.type, where == name, reason)))
    problems += [(name, "it is required") for name, field in fields.items() if field.required and name not in given]
    if problems:
        refuse(problems)
    return kind(**values)


def refuse(problems: list[tuple[str, str]]) -> None:
    """Raises Unprocessable: `param` is the first field, the message names them all."""
    message = "; ".join(f"{name}: {reason}" for name, reason in problems[:20])
    raise Unprocessable(f"{message}.", param=problems[0][0])


def require_text(value: str, name: str) -> str:
    """A part of the path: the same characters as everywhere else."""
    found = _unwanted(value, name, 0)
    if found is not None:
        refuse([found])
    return value


def _known(fields: Mapping[str, Any]) -> str:
    return f" (there are: {', '.join(fields)})" if fields else " (none is taken)"


def _inside(name: str, value: Any, kind: Any, strict: bool) -> str:
    """The name of the entry that is wrong in an object of entries: msgspec only says that one is."""
    if not isinstance(value, dict):
        return name
    for key in value:
        try:
            msgspec.convert({key: value[key]}, kind, strict=strict)
        except msgspec.ValidationError as error:
            if "[...]" in str(error):
                return f"{name}.{key[:80]}"
    return name


def _placed(name: str, message: str) -> tuple[str, str]:
    """msgspec's "Expected `int`, got `str` - at `$.x`" as ("name.x", "expected `int`, got `str`")."""
    match = _PLACE.fullmatch(message)
    assert match is not None  # every part of the pattern is optional
    reason, place = match.group(1), (match.group(2) or "").removeprefix("[...]").removeprefix(".")
    where = name if not place else f"{name}{place}" if place.startswith("[") else f"{name}.{place}"
    return where, reason[:1].lower() + reason[1:]


def _taken(kind: Any, is_whole: bool, reason: str) -> str:
    """The reason, with what would be taken in place of an enum's or a pattern's name. Inside of a value that is msgspec's to say."""
    if is_whole and reason.startswith("invalid enum value"):
        known = [str(one) for part in _parts(kind) if get_origin(part) is Literal for one in get_args(part)]
        return (
            f"there is no {reason.removeprefix('invalid enum value ')}; there is {', '.join(known)}"
            if known
            else reason
        )
    if is_whole and "matching regex" in reason:
        like = next((str(meta.examples[0]) for part in _parts(kind) for meta in _metas(part) if meta.examples), None)
        what = next((meta.description for part in _parts(kind) for meta in _metas(part) if meta.description), None)
        return f"it is written like {like}" if like else f"it is {what}" if what else reason
    return reason


def _parts(kind: Any) -> list[Any]:
    """A type, and those that it is a union of."""
    inner = [] if get_origin(kind) in (Literal, Annotated) else get_args(kind)
    return [kind, *(part for one in inner for part in _parts(one))]


def _metas(kind: Any) -> list[msgspec.Meta]:
    return [one for one in getattr(kind, "__metadata__", ()) if isinstance(one, msgspec.Meta)]


def _unwanted(value: Any, where: str, depth: int) -> tuple[str, str] | None:
    if isinstance(value, str):
        return (where, "it holds a control character or half of a surrogate pair") if _UNWANTED.search(value) else None
    if depth >= DEEPEST:
        return where, "it is nested too deeply"
    if isinstance(value, dict):
        inner = [(key, f"{where}.{key[:80]}") for key in value]
        if any(_UNWANTED.search(key) for key in value):
            return where, "a name in it holds a control character"
        return next((hit for key, place in inner if (hit := _unwanted(value[key], place, depth + 1))), None)
    if isinstance(value, list):
        return next((hit for n, item in enumerate(value) if (hit := _unwanted(item, f"{where}[{n}]", depth + 1))), None)
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"The name {twice[:80]!r} stands twice in one object.", code="duplicate_key")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
