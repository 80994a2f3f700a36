"""Where a connection may lead: never into a private network that nobody named.

The address itself is checked, after the name was looked up and right before the connection is made
to it, so that a name cannot be public when it is checked and private when it is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection

from penin_core.errors import SettingsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: IPv4 inside IPv6, as translators write it (RFC 6052).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
#: All that is given out as global unicast (IANA); ``ipaddress`` calls more than that global.
_GLOBAL = ipaddress.IPv6Network("2000::/3")
#: Documentation (RFC 9637) and protocol assignments (RFC 6890), which not every Python knows.
_SPECIAL = (ipaddress.IPv6Network("3fff::/20"), ipaddress.IPv4Network("192.0.0.0/24"))


def is_loopback(host: str) -> bool:
    """Say whether ``host`` is this computer, by its own words: nothing is looked up."""
    address = _literal(host)
    return host == "localhost" if address is None else address.is_loopback


def refusal(host: str, address: str, private_hosts: Collection[str] = ()) -> str:
    """Return why ``host`` must not be reached at ``address``; nothing where it may.

    ``private_hosts`` may stand in a private network; nobody may stand at a multicast address.
    """
    found = _inner(ipaddress.ip_address(address.partition("%")[0]))
    if found.is_multicast or found.is_unspecified:
        return f"{address} is not the address of one computer"
    if is_loopback(host):
        return "" if found.is_loopback else f"{address} is not this computer"
    if host in private_hosts or _is_public(found):
        return ""
    if found.is_loopback:
        return f"{address} is this computer"
    return f"{address} lies in a {'link-local' if found.is_link_local else 'private'} network"


async def resolve(host: str, port: int, private_hosts: Collection[str] = ()) -> list[str]:
    """Return the addresses of ``host``, all of them checked.

    Raises:
        OSError: nobody knows the name.
        SettingsError: one of the addresses must not be reached.
    """
    if _literal(host) is None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    else:
        addresses = [host]
    for address in addresses:
        if problem := refusal(host, address, private_hosts):
            raise SettingsError(
                f"host {host!r} is not called: {problem}",
                hint="correct base_url; a service in a network of your own is named in "
                "private_hosts under [network]",
            )
    return addresses


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address carries, if it carries one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
