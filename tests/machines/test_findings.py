"""What was found in a machine beside what the inventory says. Rows here are never stored."""

import pytest

from machines.findings import findings
from machines.models import Bmc, Machine

SHAPES = [{}, {"cpu": "fast"}, {"cpu": {"cores": "many"}, "memory_bytes": -1}, {"product": 7}]


@pytest.mark.parametrize("facts", SHAPES)
def test_facts_of_any_shape_are_taken(facts):
    assert findings(Machine(name="node1", facts=facts)) == []


def test_what_was_found_stands_beside_what_is_entered():
    facts = {"cpu": {"model": "Xeon", "sockets": 1, "cores": 10}, "memory_bytes": 8 << 30, "firmware": "uefi"}
    machine = Machine(name="node1", serial="SN1", facts=facts | {"serial": "SN2"})
    found = {f.name: (f.found, f.entered, f.differs) for f in findings(machine)}
    assert found == {
        "Serial number": ("SN2", "SN1", True),
        "Firmware": ("UEFI", "", False),
        "Processor": ("Xeon", "", False),
        "Cores": ("1 socket, 10 cores", "", False),
        "Memory": ("8.0 GiB", "", False),
    }


def test_a_uuid_in_the_other_byte_order_is_the_same():
    one, other = "00112233-4455-6677-8899-aabbccddeeff", "33221100-5544-7766-8899-aabbccddeeff"
    found = findings(Machine(name="node1", uuid=one, facts={"uuid": other}))
    assert [(f.found, f.entered, f.differs) for f in found] == [(other, one, False)]


@pytest.mark.parametrize(
    ("found", "entered", "differs"),
    [("10.0.0.7", "10.0.0.8", True), ("10.0.0.7", "10.0.0.7", False), ("10.0.0.7", "bmc7.example", False),
     ("", "10.0.0.7", False), ("10.0.0.7", "127.0.0.1", False)],
)  # fmt: skip
def test_the_address_of_the_bmc_is_compared_where_both_are_addresses(found, entered, differs):
    machine = Machine(name="node1", facts={"bmc_address": found})
    machine.bmc = Bmc(machine=machine, driver="ipmi", host=entered)
    (finding,) = findings(machine)
    assert (finding.found, finding.entered, finding.differs) == (found, entered, differs)
