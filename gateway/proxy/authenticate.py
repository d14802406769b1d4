"""Which key, which project. One answer for every way a key can be wrong: the caller learns nothing about which keys exist."""

from __future__ import annotations

from typing import Protocol

from gateway import keyring
from gateway.catalog import Key, Project
from gateway.errors import InvalidApiKey
from gateway.proxy.call import LateKey, Plane

MOST_LATE_KEYS = 1_000


class Headers(Protocol):
    def header(self, name: str) -> str | None: ...


class Sender(Headers, Protocol):
    digest: bytes | None
    """Of the key, where it is known: a client that sends the same head again sends the same key."""


async def authenticate(plane: Plane, caller: Sender, now: float) -> tuple[Key, Project]:
    """The key and its project. A known key is one look-up in memory; an unknown one that is well-formed costs one query, shared by all
    who ask at once. Raises InvalidApiKey, or Unavailable `key_store_unavailable` when the database can't be asked."""
    catalog = plane.holder.catalog
    key = None if caller.digest is None else catalog.keys.get(caller.digest)
    if key is None:
        text = presented(caller)
        if text is None:
            raise refused(plane)
        key_bytes = text.encode("latin-1", "replace")
        digest = caller.digest = keyring.digest(key_bytes)
        key = catalog.keys.get(digest)
        if key is None:
            if not keyring.is_well_formed(key_bytes):
                raise refused(plane)
            key = await plane.find_key(digest)
            catalog = plane.holder.catalog
    if key is None or not is_usable(key, now):
        if key is not None:
            _note_late(plane, key, now)
        raise refused(plane)
    project = catalog.projects.get(key.project_id)
    if project is None or project.archived:
        raise refused(plane)
    return key, project


def is_usable(key: Key, now: float) -> bool:
    return not key.disabled and (key.expires_at is None or key.expires_at > now)


def _note_late(plane: Plane, key: Key, now: float) -> None:
    """For the operator: nobody's call is in the log, and somebody still uses this key."""
    if key.id in plane.late_keys or len(plane.late_keys) < MOST_LATE_KEYS:
        late = plane.late_keys.setdefault(key.id, LateKey())
        late.calls, late.last = late.calls + 1, now


def presented(caller: Headers) -> str | None:
    """The key as the caller sent it, or None."""
    header = caller.header("authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        return text.strip() if scheme.lower() == "bearer" else None
    return caller.header("x-api-key")


def refused(plane: Plane) -> InvalidApiKey:
    plane.metrics.count("refused_keys")
    return InvalidApiKey()
