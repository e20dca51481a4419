"""Finds out what a BMC can do and where it is weak. Knows no models; changes nothing at the BMC."""

from machines.bmc_probe.findings import Finding, Works
from machines.bmc_probe.ipmi import probe_ipmi
from machines.bmc_probe.redfish import probe_redfish

__all__ = ["PROBES", "Finding", "Works", "probe_ipmi", "probe_redfish"]

PROBES = {"ipmi": probe_ipmi, "redfish": probe_redfish}
"""By driver. A probe takes an endpoint and what to call before each log-in, and returns Works."""
