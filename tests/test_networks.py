"""Networks as people write them, and the address a call comes from behind proxies."""

from __future__ import annotations

import ipaddress
import re

import pytest

from gateway import config
from gateway.config import ConfigError
from gateway.networks import client_of, networks_of, read_address, read_list


@pytest.mark.parametrize(
    ("given", "one_form"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("2001:DB8:0:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_a_network_has_one_form(given, one_form):
    assert networks_of((given,)).cidrs == (one_form,)


def test_what_stands_twice_stands_once():
    assert networks_of(("10.0.0.0/8", "::1", "10.0.0.0/255.0.0.0")).cidrs == ("10.0.0.0/8", "::1/128")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "no address and no network such as 10.0.0.0/8"),
        ("office", "no address and no network"),
        ("10.0.0.0/33", "no address and no network"),
        ("10.0.0", "no address and no network"),
        ("010.0.0.1", "no address and no network"),
        ("1.2.3.4:80", "no address and no network"),
        ("[::1]", "no address and no network"),
        ("١.2.3.4", "no address and no network"),
        ("10.0.0.5/8", "10.0.0.0/8 is the whole of it, 10.0.0.5/32 that address alone"),
        ("2001:db8::1/32", "2001:db8::/32 is the whole of it, 2001:db8::1/128 that address alone"),
        ("fe80::1%eth0", "leave out what follows %"),
        ("fe80::%eth0/64", "leave out what follows %"),
    ],
)
def test_what_is_no_network_is_refused_with_what_is_wanted(given, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        networks_of((given,))


@pytest.mark.parametrize(
    ("cidr", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["9.255.255.255", "11.0.0.0", "::a00:1"]),
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
        ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db7:ffff::", "2001:db9::", "192.0.2.7"]),
        ("fe80::/10", ["fe80::1%eth0", "febf::1"], ["fec0::1"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], ["::1", "2001:db8::1"]),
        ("::/0", ["::1", "2001:db8::1"], ["1.2.3.4", "::ffff:1.2.3.4"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0"]),
    ],
)
def test_a_network_holds_its_addresses_and_no_other(cidr, inside, outside):
    networks = networks_of((cidr,))
    for text in inside + outside:
        address = read_address(text)
        assert address is not None
        assert networks.hold(address) is (text in inside), text


TRUSTED = read_list("10.0.0.1, 10.0.0.2, 2001:db8::/64, fe80::/10")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # a stranger says whatever it likes, and is where it is
        ("203.0.113.9", "192.0.2.1", "203.0.113.9"),
        ("203.0.113.9", "", "203.0.113.9"),
        ("::ffff:203.0.113.9", "10.0.0.1", "203.0.113.9"),
        # a proxy says whom it heard
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("2001:db8::5", "2001:db8:1::9", "2001:db8:1::9"),
        ("fe80::7%eth0", "192.0.2.1", "192.0.2.1"),
        # what the client wrote itself stands to the left of it
        ("10.0.0.1", "192.0.2.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.2, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "nonsense, 203.0.113.9", "203.0.113.9"),
        # through several proxies
        ("10.0.0.1", "192.0.2.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9,10.0.0.2 ,\t2001:db8::1", "203.0.113.9"),
        # forms of one hop
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8:1::9]:4711", "2001:db8:1::9"),
        ("10.0.0.1", "[2001:db8:1::9]", "2001:db8:1::9"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "fec0::1%eth0", "fec0::1"),
        ("10.0.0.1", "203.0.113.9, , ", "203.0.113.9"),
        # nobody but proxies: the first of them asks for itself
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        # a word that is no address stands where one must: it can't be told, and is not the proxy's
        ("10.0.0.1", "unknown", None),
        ("10.0.0.1", "192.0.2.1, unknown", None),
        ("10.0.0.1", "192.0.2.1, unknown, 10.0.0.2", None),
        ("10.0.0.1", "_hidden", None),
        ("10.0.0.1", '"203.0.113.9"', None),
        ("10.0.0.1", "203.0.113.9:http", None),
        ("10.0.0.1", "203.0.113.9:123456", None),
        ("10.0.0.1", "[203.0.113.9", None),
        ("10.0.0.1", "[]", None),
        ("10.0.0.1", "[]:1", None),
        ("10.0.0.1", "203.0.113.9%eth0", None),
        ("10.0.0.1", "203.0.113.009", None),
        ("10.0.0.1", "203.0.113.9 10.0.0.2", None),
        # a peer without an address, as of a Unix socket
        (None, "192.0.2.1", None),
        ("", "192.0.2.1", None),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_trusted_proxy(peer, forwarded, client):
    assert client_of(peer, forwarded, TRUSTED) == (None if client is None else ipaddress.ip_address(client))


def test_without_trusted_proxies_the_header_counts_for_nothing():
    assert client_of("10.0.0.1", "192.0.2.1", None) == ipaddress.ip_address("10.0.0.1")
    assert client_of("10.0.0.1", "192.0.2.1", read_list("")) == ipaddress.ip_address("10.0.0.1")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("10.0.0.1, proxy.example.com", "'proxy.example.com' is no address and no network"),
        ("10.0.0.5/8", "begins inside of its network"),
        ("x, y", "'x' is no address and no network such as 10.0.0.0/8 or 2001:db8::/32; 'y' is no address"),
        ("10.0.0.1,0.0.0.0/0", "0.0.0.0/0 would let every caller say where it is"),
        ("::/0", "::/0 would let every caller say where it is"),
    ],
)
def test_a_wrong_list_of_proxies_stops_the_start(value, problem):
    with pytest.raises(ConfigError) as raised:
        config.load({"OPTYX_TRUSTED_PROXIES": value})
    assert "OPTYX_TRUSTED_PROXIES" in str(raised.value)
    assert problem in str(raised.value)
    assert config.load({"OPTYX_TRUSTED_PROXIES": " 10.0.0.1 ,::1,"}).trusted_proxies == read_list("10.0.0.1,::1")
