"""QEMU's monitor, from the side of the practice server's BMC."""

import asyncio
import socket

import pytest

from lab.errors import LabError
from lab.qmp import ANSWER_SECONDS, Monitor

GREETING, CAPABLE = b'{"QMP": {}}\n', b'{"return": {}, "id": 1}\n'


@pytest.mark.parametrize("end", ["QEMU ended", "closed"])
def test_nobody_waits_for_the_answer_of_a_qemu_that_has_ended(end):
    """A server that its own OS has switched off is told its next boot device, and its BMC answers in time."""

    async def tell() -> None:
        ours, qemu = socket.socketpair()
        monitor = Monitor(lambda *_: None)
        qemu.setblocking(False)
        qemu.send(GREETING)
        opening = asyncio.create_task(monitor.open(ours))
        await asyncio.get_running_loop().sock_recv(qemu, 1000)
        qemu.send(CAPABLE)
        await opening
        if end == "closed":
            monitor.close()
        else:
            qemu.close()
            await monitor._reading
        await asyncio.wait_for(monitor.execute("qom-set"), ANSWER_SECONDS / 2)

    with pytest.raises(LabError, match="not open"):
        asyncio.run(tell())
