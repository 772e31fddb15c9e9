"""Answers to questions of DNS about the tasks of services. Pure.

    web.default.shoal.internal            A, AAAA   the addresses of the instances that its tasks are on
                                          SRV       their ports as well, each with a name of its own:
    <task>.web.default.shoal.internal     A, AAAA   the address of that one

What lies elsewhere than under shoal.internal is refused: whose question it is asks its other server.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dnslib import AAAA, CLASS, QTYPE, RCODE, RR, SOA, SRV, A, DNSError, DNSHeader, DNSRecord

ZONE = "shoal.internal"

# Tasks come and go at any time, and the one that answers is near.
TTL_SECONDS = 5

# What a client takes by UDP that says nothing of it.
UDP_BYTES = 512
UDP_BYTES_MAX = 1232


class Endpoint(NamedTuple):
    """`port`: 0 if there is none. `host`: an address."""

    task: str
    host: str
    port: int


Names = Mapping[str, Sequence[Endpoint]]


def answer(question: bytes, names: Names, *, udp: bool) -> bytes | None:
    """None for what is no question."""
    try:
        asked = DNSRecord.parse(question)
    except (DNSError, ValueError, IndexError):
        return None
    if asked.header.qr or len(asked.questions) != 1:
        return None
    reply = asked.reply(ra=0)
    name = str(asked.q.qname).rstrip(".").lower()
    if asked.header.opcode or asked.q.qclass != CLASS.IN or not _is_ours(name):
        reply.header.rcode = RCODE.REFUSED
        reply.header.aa = 0
    else:
        _fill(reply, name, asked, names)
    return _packed(reply, asked, udp)


def _is_ours(name: str) -> bool:
    return name == ZONE or name.endswith(f".{ZONE}")


def _fill(reply: DNSRecord, name: str, asked: DNSRecord, names: Names) -> None:
    endpoints, is_one = _found(name, names)
    if endpoints is None:
        is_above = name == ZONE or any(known.endswith(f".{name}") for known in names)
        reply.header.rcode = RCODE.NOERROR if is_above else RCODE.NXDOMAIN
    # Who takes the first answer of all is to find another one each time.
    turned = _turned(endpoints or (), asked.header.id)
    kind = QTYPE[asked.q.qtype]
    if kind == "SRV" and not is_one:
        for each in (each for each in turned if each.port):
            target = f"{each.task}.{name}"
            reply.add_answer(RR(name, QTYPE.SRV, rdata=SRV(1, 1, each.port, target), ttl=TTL_SECONDS))
            reply.add_ar(_address(target, each.host))
    for host in dict.fromkeys(each.host for each in turned):
        record = _address(name, host)
        if kind in (QTYPE[record.rtype], "ANY"):
            reply.add_answer(record)
    if not reply.rr:
        reply.add_auth(RR(ZONE, QTYPE.SOA, rdata=_SOA, ttl=TTL_SECONDS))


_SOA = SOA(f"ns.{ZONE}", f"hostmaster.{ZONE}", (1, 60, 60, 3600, TTL_SECONDS))


def _found(name: str, names: Names) -> tuple[Sequence[Endpoint] | None, bool]:
    """Those of the name, or the one task whose name it is."""
    if name in names:
        return names[name], False
    task, _, rest = name.partition(".")
    one = [each for each in names.get(rest, ()) if each.task == task]
    return one or None, True


def _turned(endpoints: Sequence[Endpoint], by: int) -> list[Endpoint]:
    at = by % len(endpoints) if endpoints else 0
    return [*endpoints[at:], *endpoints[:at]]


def _address(name: str, host: str) -> RR:
    if ipaddress.ip_address(host).version == 4:
        return RR(name, QTYPE.A, rdata=A(host), ttl=TTL_SECONDS)
    return RR(name, QTYPE.AAAA, rdata=AAAA(host), ttl=TTL_SECONDS)


def _packed(reply: DNSRecord, asked: DNSRecord, udp: bool) -> bytes:
    """By UDP at most what the client takes; it asks again by TCP for what was cut off."""
    packed: bytes = reply.pack()
    if not udp:
        return packed
    most = next((each.edns_len for each in asked.ar if each.rtype == QTYPE.OPT), UDP_BYTES)
    if len(packed) <= min(max(most, UDP_BYTES), UDP_BYTES_MAX):
        return packed
    cut = DNSRecord(DNSHeader(id=reply.header.id, qr=1, aa=1, rd=reply.header.rd, tc=1), questions=reply.questions)
    return bytes(cut.pack())
