"""Does this client fit its gateway? Only their two versions are compared, and only when asked (`optyx version --check`, `optyx doctor`):
nothing here asks anybody else whether there is a newer one."""

from __future__ import annotations

from typing import NamedTuple


class Skew(NamedTuple):
    """`what` is different, `why` it matters, the `fix`."""

    what: str
    why: str
    fix: str


def skew(client: str, gateway: str) -> Skew | None:
    """None when they are of one version."""
    if client == gateway:
        return None
    what = f"The gateway is {gateway}, this client {client}."
    here, there = _parts(client), _parts(gateway)
    if here is None or there is None or here == there:
        return Skew(what, "One may not know what the other says.", "Bring both to one version.")
    if here < there:
        return Skew(
            what, "This client knows none of what is new there.", f"Here: pipx install --force optyx=={gateway}"
        )
    return Skew(
        what,
        "The gateway refuses what it does not know yet.",
        f"On the gateway's machine: pipx install --force 'optyx[embedded]=={client}', optyx migrate up, and a restart. "
        f"Or here: pipx install --force optyx=={gateway}",
    )


def _parts(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")
    return tuple(map(int, parts)) if all(part.isascii() and part.isdigit() for part in parts) else None
