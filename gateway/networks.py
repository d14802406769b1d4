"""Networks, and the address a call comes from. A key may be bound to networks (`catalog.Key`), and an operator may name the proxies in front
of the gateway (`config`). Pure: text is read once, when a key or the environment is; a call compares whole numbers.

An IPv4 address inside of an IPv6 one (`::ffff:192.0.2.7`, as a socket for both shows it) is that IPv4 address, here and in a network.
"""

from __future__ import annotations

import functools
import ipaddress
import re

import msgspec

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Span = tuple[int, int]
"""A network's number and its mask."""

MAPPED_BITS = 96
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_HOP = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([^:]*)(?::\d{1,5})?|([^\[\]]*)")
"""`[v6]` with or without a port, v4 (or what is none) with or without a port, v6 bare."""


class Networks(msgspec.Struct, frozen=True):
    """A list of networks: `cidrs` as text, in one form and each once, and the same as numbers."""

    cidrs: tuple[str, ...]
    v4: tuple[Span, ...]
    v6: tuple[Span, ...]

    def hold(self, address: Address) -> bool:
        number = int(address)
        return any(number & mask == network for network, mask in (self.v4 if address.version == 4 else self.v6))


@functools.lru_cache(maxsize=4096)
def networks_of(cidrs: tuple[str, ...]) -> Networks:
    """Raises ValueError. Keys of one office have one list, and 100,000 of them are loaded at once: 4 µs a network, once."""
    spans: dict[int, list[Span]] = {4: [], 6: []}
    read = list(dict.fromkeys(read_network(cidr) for cidr in cidrs))
    for network in read:
        spans[network.version].append((int(network.network_address), int(network.netmask)))
    return Networks(tuple(map(str, read)), tuple(spans[4]), tuple(spans[6]))


def read_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """`10.0.0.0/8`, `2001:db8::/32`, or an address: that one alone. Raises ValueError that says what is wanted."""
    if "%" in text:
        raise ValueError(
            f"{text!r}: an address with a zone means something on one machine only; leave out what follows %"
        )
    try:
        network = ipaddress.ip_network(text, strict=False)
        address = ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        raise ValueError(f"{text!r} is no address and no network such as 10.0.0.0/8 or 2001:db8::/32") from None
    if address != network.network_address:
        alone = ipaddress.ip_network(address)
        raise ValueError(
            f"{text!r} begins inside of its network: {network} is the whole of it, {alone} that address alone"
        )
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        inner = network.network_address.ipv4_mapped
        return ipaddress.ip_network(f"{inner}/{network.prefixlen - MAPPED_BITS}")
    return network


def read_list(text: str) -> Networks:
    """Networks with commas in between, as OPTYX_TRUSTED_PROXIES has them. Raises ValueError with every mistake."""
    parts, mistakes = [part.strip() for part in text.split(",") if part.strip()], []
    for part in parts:
        try:
            read_network(part)
        except ValueError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ValueError("; ".join(mistakes))
    found = networks_of(tuple(parts))
    everywhere = [cidr for cidr in found.cidrs if cidr.endswith("/0")]
    if everywhere:
        raise ValueError(
            f"wants the proxies in front of the gateway; {everywhere[0]} would let every caller say where it is"
        )
    return found


def client_of(peer: str | None, forwarded: str, trusted: Networks | None) -> Address | None:
    """Where a call comes from: the connection's peer, or, when that is a trusted proxy, the right-most address of X-Forwarded-For that is
    none. Each proxy writes down whom it heard, to the right of what it was sent: what stands left of the last stranger is hearsay. None when
    it can't be told: no address (a Unix socket), or a word in its place that is none; it is never replaced by the proxy's own."""
    address = read_address(peer or "")
    if trusted is None or address is None or not trusted.hold(address):
        return address
    for hop in reversed(forwarded.split(",")):
        if not hop.strip():
            continue
        address = read_address(_without_port(hop.strip()))
        if address is None or not trusted.hold(address):
            return address
    return address


def read_address(text: str) -> Address | None:
    """One address, a zone left out (`fe80::1%eth0`); None for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return address


def _without_port(hop: str) -> str:
    found = _HOP.fullmatch(hop)
    return "" if found is None else next((part for part in found.groups() if part is not None), "")
