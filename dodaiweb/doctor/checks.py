"""All checks, in the order in which they are told."""

from dodaiweb.doctor import Check, host, network, service

CHECKS: tuple[Check, ...] = (
    service.database, service.queue, service.queue_is_private, service.processes, host.key_files, host.clock, host.disk,
    network.urls_lead_here, network.listeners_are_apart, network.dhcp, network.bmcs_are_apart,
    service.bmcs, service.passwords, service.serving, host.ramdisks, host.lab_programs,
)  # fmt: skip
