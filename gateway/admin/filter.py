"""The filter grammar: text into a tree. One parser for the dashboard's `/`, `optyx logs` and the API; docs/filters.md is its page.

    status:4xx,5xx  -provider:openai  model:claude-*  project:acme  key:ci-deploy  err:rate_limit  id:req_…  ttft:>2s  total:>=8s
    cost:>0.05  tokens:>10k  attempts:>1  stream:yes  user:…  tag:env=prod  since:15m  until:…  free words  /regex/

All conditions hold; commas mean or; `-` negates. Pure: the clock is handed in.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime

from gateway.admin.filter_fields import EXAMPLES, FIELDS, Read, pattern
from gateway.errors import BadRequest
from gateway.store.log_filter import Condition, Filter, Term

LONGEST = 2_000
MOST_WORDS = 40
MOST_VALUES = 100

ALIASES = {
    "error": "err", "code": "err", "error_code": "err", "request": "id", "request_id": "id", "latency": "total", "prompt": "in",
    "completion": "out", "total_tokens": "tokens", "tags": "tag", "end_reason": "end", "usage_source": "source", "from": "since", "to": "until",
    "call_id": "call", "trace_id": "trace", "traceparent": "trace",
}  # fmt: skip
_TOKEN = re.compile(r"""\s*(?P<minus>-?)(?:(?P<field>[A-Za-z_]+):)?(?P<rest>(?:"(?:[^"\\]|\\.)*"|[^\s"])*)""")
_REGEX = re.compile(r"\s*(?P<minus>-?)/(?P<body>(?:[^/\\]|\\.)+)/(?=\s|$)")
_VALUE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+')
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_SPANS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ID_LIKE = re.compile(r"req_[A-Za-z0-9._-]*")


def parse(text: str, now: float) -> Filter:
    """Raises BadRequest that names the word, why it is wrong, and the nearest field that is known."""
    if len(text) > LONGEST:
        raise BadRequest(f"filter: it is longer than {LONGEST:,} characters.", param="filter")
    if _CONTROL.search(text):
        raise BadRequest("filter: it holds a control character.", param="filter")
    filters = [_word(*token, now) for token in _tokens(text.strip())]
    if len(filters) > MOST_WORDS:
        raise BadRequest(f"filter: it has more than {MOST_WORDS} words.", param="filter")
    return all_of(filters)


def of_parameters(given: dict[str, str], now: float) -> Filter:
    """Plain query parameters (`project`, `status`, `since` …): the same fields, with the values as the grammar writes them."""
    return all_of([_field(name, value, False, f"{name}={value}", now) for name, value in given.items() if value])


def all_of(filters: list[Filter]) -> Filter:
    """One filter that holds where all of them do."""
    sinces = [one.since for one in filters if one.since is not None]
    untils = [one.until for one in filters if one.until is not None]
    return Filter(
        tuple(condition for one in filters for condition in one.conditions),
        max(sinces) if sinces else None,
        min(untils) if untils else None,
    )


def _tokens(text: str) -> list[tuple[str, str, bool, str]]:
    """(field, value, negated, as written) of each word; field `/` is a regular expression, an empty one a free word."""
    found: list[tuple[str, str, bool, str]] = []
    position = 0
    while position < len(text):
        match = _REGEX.match(text, position)
        if match is not None:
            found.append(("/", match["body"].replace("\\/", "/"), bool(match["minus"]), match[0].strip()))
        else:
            match = _TOKEN.match(text, position)
            if match is None or match.end() == position:
                raise _bad(text[position:], "a quotation mark is not closed")
            if match["rest"].startswith("/") and not match["field"] and len(match["rest"]) > 1:
                raise _bad(match[0].strip(), "a regular expression ends with / and a space")
            found.append((match["field"] or "", match["rest"], bool(match["minus"]), match[0].strip()))
        position = match.end()
        if position < len(text) and not text[position].isspace():
            raise _bad(text[position:], "a quotation mark is not closed")
    return found


def _word(field: str, value: str, negated: bool, written: str, now: float) -> Filter:
    if field == "/":
        return _regex(value, negated, written)
    if field:
        return _field(field.lower(), value, negated, written, now)
    word = _unquoted(value)
    if not word:
        raise _bad(written or "-", "there is nothing after it")
    if _ID_LIKE.fullmatch(word) and not negated:
        return Filter((Condition((Term("id", "like", pattern(word) + "%"),)),))
    return Filter((Condition((Term("word", "like", f"%{pattern(word)}%"),), negated),))


def _regex(body: str, negated: bool, written: str) -> Filter:
    if len(body) > 200:
        raise _bad(written, "a regular expression has at most 200 characters")
    return Filter((Condition((Term("word", "regex", body),), negated),))


def _field(name: str, value: str, negated: bool, written: str, now: float) -> Filter:
    name = ALIASES.get(name, name)
    if name in ("since", "until"):
        if negated:
            raise _bad(written, f"{name} can't be negated")
        at = read_time(_unquoted(value), now, written)
        return Filter(since=at) if name == "since" else Filter(until=at)
    read = FIELDS.get(name)
    if read is None:
        near = difflib.get_close_matches(name, [*FIELDS, *ALIASES, "since", "until"], 1, 0.5)
        hint = f"the nearest field is {near[0]!r}" if near else f"there are: {', '.join([*FIELDS, 'since', 'until'])}"
        raise _bad(written, f"there is no field {name!r}; {hint}. To search for it as text, put it in quotation marks")
    values = [_unquoted(part) for part in _VALUE.findall(value)]
    if not values or not all(values):
        raise _bad(written, "a value is missing" + (f", such as {EXAMPLES[name]}" if name in EXAMPLES else ""))
    if len(values) > MOST_VALUES:
        raise _bad(written[:60], f"more than {MOST_VALUES} values")
    return Filter((Condition(tuple(_read(read, one, written) for one in values), negated),))


def _read(read: Read, value: str, written: str) -> Term:
    try:
        return read(value)
    except ValueError as error:
        raise _bad(written, str(error)) from None


def read_time(text: str, now: float, written: str) -> float:
    """`15m` ago, or an ISO date or time (without a zone: UTC), as epoch seconds. Raises BadRequest."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        at = now - float(span[1]) * _SPANS_S[span[2]]
    elif text == "now":
        at = now
    else:
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            raise _bad(
                written, "a time is a span such as 15m, 24h, 7d, or a date such as 2026-11-24T12:00:00Z"
            ) from None
        at = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    if not -62_000_000_000 < at < 250_000_000_000:
        raise _bad(written, "that is too long ago")
    return at


def _unquoted(text: str) -> str:
    return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda match: re.sub(r"\\(.)", r"\1", match[1]), text)


def _bad(written: str, why: str) -> BadRequest:
    return BadRequest(f"filter: {written[:120]!r}: {why}.", param="filter")
