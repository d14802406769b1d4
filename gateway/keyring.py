"""The shape of a key: mint, parse, checksum, digest. Pure; called by `authenticate`, the admin API and the seed.

`sk-optyx-<public id>-<secret><checksum>`: 10 characters of public id, 32 of secret (160 bits), 6 of checksum, all base 32
in lower case without `i l o u` (Crockford). The public id may be shown and logged. The checksum is a CRC-32 of all that
stands before it, so that a mistyped key costs no query and a scanner can tell a real key from a lookalike.
"""

from __future__ import annotations

import secrets
import zlib
from hashlib import sha256
from typing import NamedTuple

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PREFIX = "sk-optyx-"
PUBLIC_ID_LENGTH = 10
SECRET_LENGTH = 32
CHECKSUM_LENGTH = 6
KEY_LENGTH = len(PREFIX) + PUBLIC_ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
KEY_REGEX = r"sk-optyx-[0-9a-hjkmnp-tv-z]{10}-[0-9a-hjkmnp-tv-z]{38}"
"""For secret scanners; published in docs/admin-api.md."""

ADMIN_PREFIX = "sk-optyx-admin-"

_LETTERS = frozenset(ALPHABET.encode())


class Minted(NamedTuple):
    """A new key: `text` is shown once, `public_id` and `digest` (32 bytes) are what is stored."""

    text: str
    public_id: str
    digest: bytes


def mint() -> Minted:
    """A fresh key with 160 random bits."""
    public_id = _random(PUBLIC_ID_LENGTH)
    head = f"{PREFIX}{public_id}-{_random(SECRET_LENGTH)}"
    text = head + _checksum(head.encode())
    return Minted(text, public_id, digest(text.encode()))


def mint_admin_token() -> Minted:
    """A fresh admin token: same alphabet and strength, another prefix, no public id of its own inside."""
    public_id = _random(PUBLIC_ID_LENGTH)
    head = f"{ADMIN_PREFIX}{public_id}-{_random(SECRET_LENGTH)}"
    text = head + _checksum(head.encode())
    return Minted(text, public_id, digest(text.encode()))


def digest(key: bytes) -> bytes:
    """SHA-256 of the key's bytes (32 bytes): what is stored and looked up. The key has 160 random bits, so a fast hash is enough."""
    return sha256(key).digest()


def is_well_formed(key: bytes) -> bool:
    """Length, prefix, alphabet and checksum hold; says nothing about whether the key exists."""
    if len(key) != KEY_LENGTH or not key.startswith(b"sk-optyx-") or key[len(PREFIX) + PUBLIC_ID_LENGTH] != 0x2D:
        return False
    letters = key[len(PREFIX) : len(PREFIX) + PUBLIC_ID_LENGTH] + key[len(PREFIX) + PUBLIC_ID_LENGTH + 1 :]
    if not _LETTERS.issuperset(letters):
        return False
    return _checksum(key[:-CHECKSUM_LENGTH]).encode() == key[-CHECKSUM_LENGTH:]


def is_admin_token(token: bytes) -> bool:
    """The same of an admin token."""
    length = KEY_LENGTH - len(PREFIX) + len(ADMIN_PREFIX)
    if len(token) != length or not token.startswith(ADMIN_PREFIX.encode()):
        return False
    public_id, dash, rest = token[len(ADMIN_PREFIX) :].partition(b"-")
    if len(public_id) != PUBLIC_ID_LENGTH or not dash or not _LETTERS.issuperset(public_id + rest):
        return False
    return _checksum(token[:-CHECKSUM_LENGTH]).encode() == token[-CHECKSUM_LENGTH:]


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(head: bytes) -> str:
    crc = zlib.crc32(head)
    return "".join(ALPHABET[(crc >> shift) & 31] for shift in (27, 22, 17, 12, 7, 2))
