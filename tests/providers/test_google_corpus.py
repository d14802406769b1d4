"""Schemas and histories as clients really send them, against what Gemini takes: nothing it refuses goes out, whatever came in."""

import itertools
import json
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pydantic
import pytest
from google.genai import types as gemini
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.providers.google import ADAPTER
from gateway.providers.google_schema import KEPT, for_gemini
from gateway.providers.provider import Ask, UpstreamRequest


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(pydantic.BaseModel):
    street: str = pydantic.Field(min_length=1, max_length=80, description="Street and number.")
    zip: Annotated[str, pydantic.Field(pattern=r"^\d{4}$")] = "3000"


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str
    born: date | None = None
    addresses: list[Address] = []
    tags: dict[str, str] = {}
    colour: Colour = Colour.RED
    kind: Literal["a", "b"] = "a"
    age: Annotated[int, pydantic.Field(ge=0, lt=150, multiple_of=1)]


class Node(pydantic.BaseModel):
    value: int
    children: list["Node"] = []
    parent: "Node | None" = None


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    good: bool = True


class Pets(pydantic.BaseModel):
    pets: list[Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]]
    pair: tuple[int, str]
    amount: Decimal
    id: UUID
    at: datetime


OBJECT: dict[str, Any] = {"type": "object"}
SCHEMAS: list[dict[str, Any]] = [
    *(model.model_json_schema() for model in (Address, Person, Node, Cat, Dog, Pets)),
    *(model.model_json_schema(mode="serialization") for model in (Person, Node, Pets)),
    {},
    OBJECT,
    {**OBJECT, "properties": {}},
    {**OBJECT, "additionalProperties": False},
    {**OBJECT, "additionalProperties": {"type": "string", "maxLength": 5}},
    {**OBJECT, "properties": {"a": {"type": ["string", "null"]}}},
    {**OBJECT, "properties": {"a": {"type": "string", "nullable": True}}},
    {**OBJECT, "properties": {"a": True, "b": False}},
    {**OBJECT, "properties": {"a": {"const": 1}, "b": {"const": None}}},
    {**OBJECT, "properties": {"a": {"enum": [1, "x", None, True]}}},
    {**OBJECT, "properties": {"a": {"not": {"type": "string"}}}},
    {**OBJECT, "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "integer", "exclusiveMinimum": 0}]}}},
    {**OBJECT, "properties": {"a": {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]}}, "$defs": {"x": {"type": "string", "format": "email"}}},
    {**OBJECT, "properties": {"a": {"$ref": "#/definitions/x"}}, "definitions": {"x": {"allOf": [{"type": "string"}, {"pattern": "x"}]}}},
    {"allOf": [{"$ref": "#/$defs/a"}, {**OBJECT, "properties": {"b": {}}, "required": ["b"]}], "$defs": {"a": {**OBJECT, "required": ["a"]}}},
    {"$schema": "http://json-schema.org/draft-07/schema#", **OBJECT,
     "properties": {"path": {"type": "string", "description": "A path."}}, "required": ["path"]},
    {**OBJECT, "properties": {"a": {"type": "array"}}},
    {**OBJECT, "properties": {"a": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}, "uniqueItems": True, "contains": {}}}},
    {**OBJECT, "properties": {"a": {"type": "array", "prefixItems": [{"type": "string"}], "items": False}}},
    {**OBJECT, "patternProperties": {"^x": {"type": "string"}}, "propertyNames": {"pattern": "^x"}, "minProperties": 1},
    {**OBJECT, "dependentRequired": {"a": ["b"]}, "if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {}},
    {**OBJECT, "properties": {"$ref": {"type": "string"}, "default": {"type": "string"},
                               "enum": {"type": "integer"}, "properties": {"type": "object"}}},
    {**OBJECT, "title": "T", "examples": [{}], "deprecated": True, "readOnly": True, "x-extra": 1, "$comment": "c", "$id": "urn:x"},
    {"type": "string"},
    {"type": "array", "items": {"$ref": "#"}},
    {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    {**OBJECT, "properties": {"deep": {**OBJECT, "properties": {"deeper": {**OBJECT, "properties": {"x": {"minLength": 3, "type": "string"}}}}}}},
    {**OBJECT, "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 5, "exclusiveMaximum": 6, "multipleOf": 2}}},
    {**OBJECT, "properties": {"a": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}}},
    {**OBJECT, "unevaluatedProperties": False, "properties": {"a": {"$ref": "#/$defs/loop"}},
     "$defs": {"loop": {**OBJECT, "properties": {"next": {"$ref": "#/$defs/loop"}}}}},
    {**OBJECT, "strict": True, "properties": {"a": {"type": "string", "enumDescriptions": ["x"]}}},
]  # fmt: skip


def subschemas(schema: Any) -> list[dict[str, Any]]:
    """A schema and every schema in it; names of properties are no keywords."""
    if not isinstance(schema, dict):
        return []
    inner: list[Any] = []
    for name, value in schema.items():
        if name in ("properties", "$defs") and isinstance(value, dict):
            inner += value.values()
        elif name in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
            inner += value
        elif name in ("items", "additionalProperties"):
            inner.append(value)
    return [schema, *itertools.chain.from_iterable(subschemas(one) for one in inner)]


def ask(**fields: Any) -> Ask:
    return Ask("chat", "gemini-3.5-flash", False, json.dumps(fields).encode())


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:40])
def test_a_schema_goes_out_with_nothing_that_gemini_refuses(schema: dict[str, Any]):
    before = json.dumps(schema)
    out = for_gemini(schema)
    assert json.dumps(schema) == before, "the caller's schema is not changed"
    for one in subschemas(out):
        assert set(one) <= KEPT, set(one) - KEPT
        for name in ("items", "additionalProperties"):
            assert name not in one or isinstance(one[name], dict) or one[name] in (True, False)
        reference = one.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/"):
            assert reference.removeprefix("#/$defs/") in out["$defs"], reference
    assert set(schema.get("properties", {})) <= set(out.get("properties", {}))
    assert set(schema.get("required", [])) <= set(out.get("required", []))
    said = {"messages": [{"role": "user", "content": "x"}]}
    for given_ in (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}},
    ):
        built = ADAPTER.build(ask(**said, **given_), "https://example.com", None)
        assert isinstance(built, UpstreamRequest)
        body = json.loads(built.body)
        gemini.GenerationConfig.model_validate(body.get("generationConfig", {}))
        for tool in body.get("tools", []):
            gemini.Tool.model_validate(tool)


def test_there_are_forty_of_them():
    assert len(SCHEMAS) >= 40


texts = st.sampled_from(["", "Hello", "ä\u2028", " "])
TURNS = st.lists(
    st.one_of(
        st.tuples(st.just("system"), texts, st.just(0), st.permutations([0])),
        st.tuples(st.just("developer"), texts, st.just(0), st.permutations([0])),
        st.tuples(st.just("user"), texts, st.just(0), st.permutations([0])),
        st.tuples(st.just("assistant"), texts, st.integers(0, 3), st.permutations([0, 1, 2])),
    ),
    min_size=1,
    max_size=8,
)


def history(turns: list[Any]) -> list[dict[str, Any]]:
    """Messages as OpenAI takes them: every call has its result, results in any order."""
    messages: list[dict[str, Any]] = []
    number = 0
    for role, text, count, order in turns:
        if role != "assistant" or not count:
            messages.append({"role": role, "content": text})
            continue
        ids = [f"call_{number + offset}" for offset in range(count)]
        calls = [
            {"id": one, "type": "function", "function": {"name": f"f_{one}", "arguments": json.dumps({"id": one})}}
            for one in ids
        ]
        number += count
        messages.append({"role": "assistant", "content": text or None, "tool_calls": calls})
        messages += [
            {"role": "tool", "tool_call_id": ids[at], "content": f"result of {ids[at]}"} for at in order if at < count
        ]
    return messages


@settings(max_examples=400, derandomize=True, deadline=None)
@given(TURNS)
def test_any_history_becomes_one_that_gemini_takes(turns: list[Any]):
    messages = history(turns)
    built = ADAPTER.build(ask(messages=messages), "https://example.com", None)
    assert isinstance(built, UpstreamRequest)
    body = json.loads(built.body)
    contents = body["contents"]
    assert contents
    for before, after in itertools.pairwise(contents):
        assert before["role"] != after["role"], "roles alternate"
    for content in contents:
        gemini.Content.model_validate(content)
        assert content["parts"], "no content is empty"
        assert all(part.get("text") != "" for part in content["parts"]), "no part is empty"
    called, answered = [], []
    for content in contents:
        called += [part["functionCall"]["args"]["id"] for part in content["parts"] if "functionCall" in part]
        answered += [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
    assert [one["name"] for one in answered] == [f"f_{one}" for one in called], (
        "each result stands at its call, by name and in order"
    )
    assert [one["response"]["result"] for one in answered] == [f"result of {one}" for one in called]
    spoken = [
        message["content"]
        for message in messages
        if message["role"] in ("user", "assistant") and (message["content"] or "") != ""
    ]
    if spoken:
        assert [part["text"] for content in contents for part in content["parts"] if "text" in part] == spoken
