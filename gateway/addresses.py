"""Where a provider may not be: addresses that belong to the machine's network and never to a provider. A cloud's metadata service stands on
a link-local address and gives credentials to whoever asks. Asked when a base URL is set, and again at every connect, by the address itself:
a name may point elsewhere by then."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"})
METADATA_ADDRESSES = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def refused_address(host: str) -> str | None:
    """Why this numeric address is refused, or None. Loopback and private networks are fine: a model server of one's own lives there."""
    try:
        address = _carried(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None
    if address.is_link_local or address in METADATA_ADDRESSES:
        return f"{host} is link-local: metadata services live there, providers do not"
    if address.is_multicast or address.is_unspecified:
        return f"{host} is no address of a server"
    return None


def refused_url(url: str) -> str | None:
    """Why this base URL is refused, or None. A name is judged again at every connect, by what it resolves to then."""
    if any(not 0x20 < ord(letter) < 0x7F for letter in url):
        return "it holds a space or a character that no URL has"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("http", "https"):
        return "it must begin with http:// or https://"
    if not parts.hostname or port == 0:
        return "it names no server"
    if "@" in parts.netloc or parts.query or parts.fragment or "#" in url or "?" in url or "\\" in url:
        return "only scheme, server, port and path belong into it"
    host = parts.hostname.rstrip(".")
    if host in METADATA_NAMES:
        return f"{host} is a metadata service"
    return refused_address(_numeric(host))


def _numeric(host: str) -> str:
    """`2852039166`, `0xA9FEA9FE` and `169.254.43518` are ways to write 169.254.169.254 too."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


def _carried(address: IPAddress) -> IPAddress:
    """The IPv4 address inside of an IPv6 one: mapped, 6to4, NAT64."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address
