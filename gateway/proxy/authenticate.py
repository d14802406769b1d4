"""Which key, which project. One answer for every way a key can be wrong: the caller learns nothing about which keys exist."""

from __future__ import annotations

from typing import Protocol

from gateway import keyring
from gateway.catalog import Key, Project
from gateway.errors import AddressNotAllowed, InvalidApiKey
from gateway.networks import Address, Networks, client_of
from gateway.proxy.call import LateKey, Plane

MOST_LATE_KEYS = 1_000


class Headers(Protocol):
    def header(self, name: str) -> str | None: ...


class Sender(Headers, Protocol):
    digest: bytes | None
    """Of the key, where it is known: a client that sends the same head again sends the same key."""

    @property
    def address(self) -> str | None: ...

    @property
    def forwarded_for(self) -> str: ...


async def authenticate(plane: Plane, caller: Sender, now: float) -> tuple[Key, Project]:
    """The key and its project. A known key is one look-up in memory; an unknown one that is well-formed costs one query, shared by all
    who ask at once. Raises InvalidApiKey, AddressNotAllowed, or Unavailable `key_store_unavailable` when the database can't be asked."""
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
    if key is None or key.works_until <= now:
        if key is not None:
            _note_late(plane, key, now)
        raise refused(plane)
    project = catalog.projects.get(key.project_id)
    if project is None or project.archived:
        raise refused(plane)
    if key.networks is not None:
        client = client_of(caller.address, caller.forwarded_for, plane.trusted_proxies)
        require_address(key, project, key.networks, client)
    return key, project


def require_address(key: Key, project: Project, networks: Networks, client: Address | None) -> None:
    """Asked anew at every call, also of one on a connection that is kept: the list may have changed, and so may who is behind a proxy.
    `client` None: it can't be told. Raises AddressNotAllowed."""
    if client is None or not networks.hold(client):
        where = "an address that can't be told" if client is None else str(client)
        raise AddressNotAllowed(
            f"This key may not be used from {where}. Call from an address that it allows, or have this one added to it "
            "(optyx keys update KEY --cidr …).",
            key,
            project,
        )


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
