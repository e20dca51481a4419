"""The switch of the lab that comes with Dodai, by the lab's control socket. Its ports are named after its servers."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from lab import control
from lab.errors import LabError, NotRunning
from machines.network.base import NetworkDriver, NetworkError, NetworkRefused, Setting, SwitchPort, plain
from machines.network.child import call_in_child


class LabNetwork(NetworkDriver):
    slug = "lab"
    label = "The lab's own switch"
    settings = (Setting("data", "data folder", help="Of the Dodai that runs the lab (--data)."),)
    can_detach = True

    def read(self, port: SwitchPort) -> int | None:
        return self.read_all([port])[port.name]

    def read_all(self, ports: Iterable[SwitchPort]) -> dict[str, int | None]:
        asked = list(ports)
        vlans = self._ask("vlans")
        for port in asked:
            if port.name not in vlans:
                raise NetworkRefused(f"{plain(port)}: the lab's switch has no such port")
        return {port.name: vlans[port.name] for port in asked}

    def attach(self, port: SwitchPort, vlan: int) -> None:
        self._move(port, vlan)

    def detach(self, port: SwitchPort) -> None:
        self._move(port, None)

    def _move(self, port: SwitchPort, vlan: int | None) -> None:
        self.read(port)
        self._ask("move", name=port.name, vlan=vlan)

    def _ask(self, do: str, **arguments: object) -> dict[str, int | None]:
        work = partial(_answer, Path(self.setting("data")), do, **arguments)
        answer: dict[str, int | None] = call_in_child(work, whom=str(self.endpoint), seconds=self.seconds)
        return answer


def _answer(data: Path, do: str, **arguments: object) -> dict[str, int | None]:
    try:
        answer = control.ask(data, do, **arguments)
    except NotRunning as exc:
        raise NetworkError("the lab does not run: start it, or look at its log") from exc
    except LabError as exc:
        raise NetworkError(f"the lab's switch: {plain(exc)}") from exc
    vlans: dict[str, int | None] = answer["vlans"]
    return vlans
