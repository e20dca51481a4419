"""Addresses of a cluster's network. Pure: it knows no database."""

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

LARGEST = 1 << 16
"""So many addresses are looked through for one that is free."""


def network_of(text: str) -> IPv4Network | IPv6Network:
    """`10.2.10.0/24`. Raises ValueError, also for an address without a prefix or with a host's part."""
    if "/" not in text:
        raise ValueError(f"{text} has no prefix")
    return ip_network(text)


def is_of(network: str, address: str | None) -> bool:
    """Whether `address`, with a prefix or without, is of that network; never where there is none."""
    if not network or not address:
        return False
    try:
        return ip_address(address.partition("/")[0]) in network_of(network)
    except ValueError:
        return False


def may_be_given(network: str, address: str | None, *, first: str | None = None, last: str | None = None) -> bool:
    """Whether `free` would find it, did nobody have it."""
    if not address or not is_of(network, address):
        return False
    number = ip_address(address.partition("/")[0])
    after = first is None or ip_address(first) <= number  # type: ignore[operator]
    return after and (last is None or number <= ip_address(last))  # type: ignore[operator]


def free(network: str, taken: Collection[str], *, first: str | None = None, last: str | None = None) -> str:
    """The lowest address that nobody has, with its prefix; "" where all are taken. `taken` have no prefix.

    Raises ValueError where `network` is none.
    """
    whole = network_of(network)
    lowest = max(ip_address(first), whole[0]) if first else whole[1 % whole.num_addresses]  # type: ignore[type-var]
    highest = int(min(ip_address(last), whole[-1])) if last else int(whole[-1]) - (whole.version == 4)  # type: ignore[type-var]
    used = {int(ip_address(one)) for one in taken}
    candidates = range(int(lowest), min(highest + 1, int(lowest) + LARGEST))
    found = next((number for number in candidates if number not in used), None)
    return "" if found is None else f"{type(lowest)(found)}/{whole.prefixlen}"
