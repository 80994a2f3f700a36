"""Addresses: checked after the name was looked up, whatever form they come in."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from penin_core.engine.addresses import refusal, resolve
from penin_core.errors import SettingsError

NEVER = [
    "10.0.0.1",
    "172.16.9.9",
    "192.168.1.1",
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "2002:0a00:0001::",
    "2002:7f00:0001::",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "fec0::1",
    "::10.0.0.1",
    "::93.184.215.14",
    "192.0.0.8",
    "192.0.0.192",
    "100::1",
    "2001::1",
    "3fff::1",
    "5f00::1",
]


@pytest.mark.parametrize("address", NEVER)
def test_no_name_leads_into_a_private_network(address: str) -> None:
    assert refusal("api.example.com", address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f::1", "2a00:1450::1", "64:ff9b::5db8:d70e"]
)
def test_public_addresses_are_called(address: str) -> None:
    assert refusal("api.example.com", address) == ""


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "fd00::1", "169.254.0.7"])
def test_settings_allow_a_host_to_be_private(address: str) -> None:
    assert refusal("gpu.lan", address, ["gpu.lan"]) == ""
    assert refusal("other.lan", address, ["gpu.lan"])


@pytest.mark.parametrize("address", ["224.0.0.1", "0.0.0.0", "ff02::1"])
def test_nobody_stands_at_an_address_of_many(address: str) -> None:
    assert refusal("gpu.lan", address, ["gpu.lan"])


def test_this_computer_is_this_computer_and_nothing_else() -> None:
    assert refusal("localhost", "127.0.0.1") == refusal("::1", "::1") == ""
    assert refusal("localhost", "93.184.215.14")
    assert refusal("localhost", "10.0.0.1", ["localhost"])


def look_up(monkeypatch: pytest.MonkeyPatch, host: str, *addresses: str) -> list[str]:
    async def names(self: Any, host: str, port: int, **options: Any) -> Any:
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", names)
    return asyncio.run(resolve(host, 443))


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert look_up(monkeypatch, "a.example", "93.184.215.14") == ["93.184.215.14"]
    with pytest.raises(SettingsError, match=r"169\.254\.169\.254 lies in a link-local network"):
        look_up(monkeypatch, "a.example", "93.184.215.14", "169.254.169.254")


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "017700000001"])
def test_odd_ways_to_write_an_address_are_checked_as_what_they_lead_to(host: str) -> None:
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        pytest.skip("this system does not read it as an address")
    with pytest.raises(SettingsError, match="this computer"):
        asyncio.run(resolve(host, 443))


def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_up(monkeypatch, "93.184.215.14", "10.0.0.1") == ["93.184.215.14"]
