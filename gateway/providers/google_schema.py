"""JSON Schema as Gemini takes it in `responseJsonSchema` and `parametersJsonSchema`. Pure.

Gemini reads a subset of JSON Schema and refuses what it doesn't know. Kept: KEPT below. Rewritten: `const` becomes an `enum` of one,
`allOf` is merged into its schema, `definitions` becomes `$defs`, a boolean schema becomes `{}`. Everything else (`default`, `pattern`,
`minLength`, `examples`, `$schema`, `not`, `if` …) only narrows or annotates and is left out, so the answer may be wider than asked.
"""

from __future__ import annotations

from typing import Any

KEPT = frozenset({
    "$anchor", "$defs", "$id", "$ref", "additionalProperties", "anyOf", "description", "enum", "format", "items", "maxItems", "maximum",
    "minItems", "minimum", "oneOf", "prefixItems", "properties", "propertyOrdering", "required", "title", "type",
})  # fmt: skip

_OF_SCHEMAS = ("anyOf", "oneOf", "prefixItems")
_BY_NAME = ("properties", "$defs")


def for_gemini(schema: Any) -> dict[str, Any]:
    """A schema with nothing that Gemini refuses."""
    if not isinstance(schema, dict):
        return {}
    whole = dict(schema)
    for part in whole.pop("allOf", None) or ():
        whole = _merged(whole, part) if isinstance(part, dict) else whole
    if "const" in whole:
        whole["enum"] = [whole.pop("const")]
    if "definitions" in whole:
        whole["$defs"] = {**whole.pop("definitions"), **whole.get("$defs", {})}
    return {name: _value(name, value) for name, value in whole.items() if name in KEPT}


def _value(name: str, value: Any) -> Any:
    if name in _BY_NAME and isinstance(value, dict):
        return {key: for_gemini(item) for key, item in value.items()}
    if name in _OF_SCHEMAS and isinstance(value, list):
        return [for_gemini(item) for item in value]
    if name == "items" or (name == "additionalProperties" and isinstance(value, dict)):
        return for_gemini(value)
    if name == "$ref" and isinstance(value, str):
        return value.replace("#/definitions/", "#/$defs/")
    return value


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What both schemas say together: properties and required add up, otherwise the first speaks."""
    merged = {**second, **first}
    if "properties" in first and "properties" in second:
        merged["properties"] = {**second["properties"], **first["properties"]}
    if "required" in first and "required" in second:
        merged["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    return merged
