"""Erasing disks: what is planned, what a ramdisk reports of it, and the records that are kept. The method is Erase."""
