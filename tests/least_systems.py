"""Disks with the least system that can be booted: it says one line on the serial console and stands still.

Hand-made, because a boot chain that ends on such a disk has done all that a boot chain does, in milliseconds.
"""

import struct
from pathlib import Path

SAYS = "the disk's own system is up"
SECTOR = 512


def bios(folder: Path) -> str:
    """QEMU's -drive words for a disk whose first sector writes to COM1."""
    #       cli   xor ax,ax    mov ds,ax    cld   mov si,0x7c00+text      mov dx,0x3f8
    code = b"\xfa\x31\xc0\x8e\xd8\xfc\xbe%b\xba\xf8\x03"
    #        lodsb  test al,al  jz +3     out dx,al  jmp to lodsb  hlt  jmp to hlt
    code += b"\xac\x84\xc0\x74\x03\xee\xeb\xf8\xf4\xeb\xfd"
    code %= struct.pack("<H", 0x7C00 + len(code))  # %b and the two bytes for it are equally long
    sector = code + f"\r\n{SAYS}\r\n\0".encode()
    path = folder / "bios.raw"
    path.write_bytes((sector.ljust(SECTOR - 2, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    return f"format=raw,file={path}"


def uefi(folder: Path) -> str:
    """QEMU's -drive words for a FAT disk with a program where firmware looks for one (UEFI 2.10, 3.5.1.1)."""
    path = folder / "esp" / "EFI" / "BOOT" / "BOOTX64.EFI"
    path.parent.mkdir(parents=True)
    path.write_bytes(_efi_program())
    return f"format=vvfat,fat-type=16,file=fat:{folder / 'esp'}"


def _efi_program() -> bytes:
    """One section, no relocations, no imports (Microsoft PE format; UEFI 2.10, 2.1.1)."""
    #       sub rsp,40          mov rcx,[rdx+64]: ConOut  lea rdx,[rip+6]: the text      call [rcx+8]: OutputString
    code = b"\x48\x83\xec\x28\x48\x8b\x4a\x40\x48\x8d\x15\x06\x00\x00\x00\xff\x51\x08\xf4\xeb\xfd"
    section = (code + f"\r\n{SAYS}\r\n\0".encode("utf-16-le")).ljust(SECTOR, b"\0")
    file_header = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 112 + 16 * 8, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20B, 0, 0, SECTOR, 0, 0, 0x1000, 0x1000)
    optional += struct.pack("<QIIHHHHHHIIIIHH", 0, 0x1000, SECTOR, 0, 0, 0, 0, 0, 0, 0, 0x2000, SECTOR, 0, 10, 0)
    optional += struct.pack("<QQQQII", 0, 0, 0, 0, 0, 16) + bytes(16 * 8)
    text = struct.pack("<8sIIIIIIHHI", b".text", SECTOR, 0x1000, SECTOR, SECTOR, 0, 0, 0, 0, 0x60000020)
    dos = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    return (dos + file_header + optional + text).ljust(SECTOR, b"\0") + section
