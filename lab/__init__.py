"""Practice servers: virtual machines with a real IPMI BMC each, which boot over a network that leads nowhere else."""
