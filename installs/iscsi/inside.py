"""The first program in the network that qemu-img has for itself: listens there, hands the socket out, becomes qemu-img.

Run by its path, before anything of ours is imported: inside.py NUMBER-OF-THE-SOCKET COMMAND...
"""

import fcntl
import os
import socket
import struct
import sys

PORT = 3260
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1  # netdevice(7)


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
    with socket.socket(fileno=int(sys.argv[1])) as outside, socket.create_server(("127.0.0.1", PORT)) as listening:
        socket.send_fds(outside, [b"."], [listening.fileno()])
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - a list of words needs no shell


if __name__ == "__main__":
    main()
