"""The forward proxies between the gateway and its providers, as HTTP_PROXY, HTTPS_PROXY and NO_PROXY name them. Read by `config`, asked by
`upstream`. This machine itself is never asked of a proxy.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.secret import Secret


class Proxy(msgspec.Struct, frozen=True):
    """`authorization`: the value of Proxy-Authorization. `variable`: where it was set, for what an operator reads."""

    variable: str
    host: str
    port: int
    is_secure: bool
    authorization: Secret | None

    @property
    def header(self) -> str:
        """The request's line that proves us to it, or nothing."""
        return "" if self.authorization is None else f"Proxy-Authorization: {self.authorization.reveal()}\r\n"


class Egress(msgspec.Struct, frozen=True):
    """Which proxy leads where."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[str, ...] = ()

    def toward(self, scheme: str, host: str, port: int) -> Proxy | None:
        proxy = self.https if scheme == "https" else self.http
        return None if proxy is None or _is_here(host) or _is_exempt(self.exempt, host, port) else proxy


def proxy_of(variable: str) -> Callable[[str], Proxy]:
    """Reads `http://user:password@host:port`; raises ValueError that says what is wanted, and never what was given."""

    def parse(value: str) -> Proxy:
        try:
            parts = urlsplit(value if "://" in value else f"http://{value}")
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("wants a proxy such as http://proxy.example.com:3128 or http://user:password@…; no SOCKS")
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = Secret("Basic " + base64.b64encode(pair.encode()).decode())
        is_secure = parts.scheme == "https"
        return Proxy(variable, parts.hostname, port or (443 if is_secure else 80), is_secure, authorization)

    return parse


def exemptions(value: str) -> tuple[str, ...]:
    """NO_PROXY: `example.com` and what is below it, addresses, networks as `10.0.0.0/8`, each also with `:port`; `*` is everything."""
    return tuple(part.strip().lower() for part in value.split(",") if part.strip())


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _is_exempt(exempt: tuple[str, ...], host: str, port: int) -> bool:
    host = host.rstrip(".").lower()
    address = _address(host)
    for entry in exempt:
        name, _, its_port = entry.rpartition(":")
        if not its_port.isdigit() or (":" in name and not name.endswith("]")):
            name, its_port = entry, ""
        name = name.strip("[]")
        if its_port and int(its_port) != port:
            continue
        if name == "*" or (address is not None and _holds(name, address)):
            return True
        name = name.removeprefix("*").removeprefix(".")
        if address is None and (host == name or host.endswith(f".{name}")):
            return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
