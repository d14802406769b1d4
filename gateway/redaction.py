"""What no log may keep: e-mail addresses, keys and tokens, card numbers. Pure; called by `capture` off the path of calls.

Works on text in which JSON's escapes have been undone (`readable`), so that `\\u0040` hides no address. Best effort by nature: it finds what
looks like a secret, and no more.
"""

from __future__ import annotations

import json
import re

EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
KEYS = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]{1,20000}?-----END [A-Z ]{0,40}PRIVATE KEY-----"
    r"|\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|\bAIza[A-Za-z0-9_-]{30,}|\bAQ\.[A-Za-z0-9_-]{20,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bAKIA[A-Z0-9]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
)
BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{12,}")
NAMED = re.compile(
    r'(?i)("(?:[a-z_-]*api[_-]?key|password|passwd|secret|client_secret|access_token|refresh_token|authorization)"\s*:\s*)"[^"\\]{4,}"'
)
CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.])")
EMBEDDED = re.compile(r";base64,[A-Za-z0-9+/=]{64,}")
ENCODED = re.compile(r'"[A-Za-z0-9+/]{512,}={0,2}"')
VECTOR = re.compile(r"\[(?:[-+0-9.eE]+,){15,}[-+0-9.eE]+\]")


def readable(raw: bytes) -> str:
    """JSON with its escapes undone, or the text as it is."""
    try:
        return (
            json.dumps(json.loads(raw), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()
        )
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def redacted(text: str) -> tuple[str, int]:
    """The text without what looks like a secret, and how many were found. Vectors and encoded files are left out, uncounted."""
    text = EMBEDDED.sub(lambda found: f";base64,⟦{len(found[0]) - 8} characters⟧", text)
    text = ENCODED.sub(lambda found: f'"⟦base64, {len(found[0]) - 2} characters⟧"', text)
    text = VECTOR.sub(lambda found: f'"⟦{found[0].count(",") + 1} numbers⟧"', text)
    count = 0
    for pattern, instead in ((KEYS, "⟦key⟧"), (BEARER, r"\1\2⟦key⟧"), (NAMED, r'\1"⟦secret⟧"'), (EMAIL, "⟦email⟧")):
        text, found = pattern.subn(instead, text)
        count += found

    def card(found: re.Match[str]) -> str:
        nonlocal count
        if not passes_luhn(found[0]):
            return found[0]
        count += 1
        return "⟦card⟧"

    return CARD.sub(card, text), count


def passes_luhn(number: str) -> bool:
    """The check digit of card numbers."""
    digits = [int(digit) for digit in reversed(number) if digit.isdigit()]
    return sum(d if n % 2 == 0 else d * 2 - 9 * (d > 4) for n, d in enumerate(digits)) % 10 == 0
