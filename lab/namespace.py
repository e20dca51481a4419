"""placeholder, replaced in the next minutes"""

from lab.profiles import Profile
from lab.qemu import Cable, Ports


class NativeNetwork:
    reason = "no"
    is_up = False

    def __init__(self, ports: Ports) -> None: ...
    async def start(self, p: list[Profile]) -> None: ...
    async def stop(self) -> None: ...
    def cable(self, profile: Profile) -> Cable | None:
        return None
