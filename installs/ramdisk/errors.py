"""What can go wrong while a ramdisk is built, in words for the operator."""


class RamdiskError(Exception):
    """The ramdisk cannot be built; the message says why and what to do. Nothing half-built is left."""
