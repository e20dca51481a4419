"""dodai's OpenFlow controller, played: a SOAP service over HTTP that describes itself, and minds regions and ports."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lxml import etree

SPACE = "urn:dodai:ofc"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
OPERATIONS = {
    "createRegion": ("regionName:string",), "destroyRegion": ("regionName:string",), "showRegion": (), "save": (),
    "setServerPort": ("dpid:string", "portNo:int", "regionName:string"),
    "clearServerPort": ("dpid:string", "portNo:int"),
    "setOuterPortAssociationSetting":
        ("dpid:string", "portNo:int", "outerVlanId:int", "innerVlanId:int", "regionName:string"),
    "clearOuterPortAssociationSetting": ("dpid:string", "portNo:int", "outerVlanId:int"),
    "showSwitchDatapathId": (), "showPorts": ("dpid:string",),
}  # fmt: skip
ANSWERS = {"showRegion": "Region", "showSwitchDatapathId": "Datapath", "showPorts": "Port"}
TYPES = {"Region": ("regionName:string",), "Datapath": ("dpid:string",),
         "Port": ("portNo:int", "type:string", "regionName:string")}  # fmt: skip


class Refusal(Exception):
    """A SOAP fault."""


@dataclass
class Controller:
    """`ports` by (datapath id, number): [type, region]. Faults are told by the number of the call that writes."""

    ports: dict[tuple[str, int], list[str]]
    regions: dict[str, dict[tuple[str, int], tuple[int, int]]] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    fails: dict[int, str] = field(default_factory=dict)
    wsdl: bytes | None = None
    answer: bytes | None = None
    """Instead of the true one, to every call."""
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/ofc"

    def writes(self) -> list[str]:
        return [f"{call[0]}({', '.join(map(str, call[1:]))})" for call in self.calls if not call[0].startswith("show")]

    def do(self, name: str, *values: str) -> list[dict[str, object]]:
        self.calls.append((name, *values))
        if not name.startswith("show") and self.fails.pop(len(self.writes()), ""):
            raise Refusal("<b>no\x1b[2J such luck</b>")
        return getattr(self, f"_{name}")(*values) or []

    def _showRegion(self) -> list[dict[str, object]]:
        return [{"regionName": name} for name in self.regions]

    def _showSwitchDatapathId(self) -> list[dict[str, object]]:
        return [{"dpid": dpid} for dpid in dict.fromkeys(dpid for dpid, _ in self.ports)]

    def _showPorts(self, dpid: str) -> list[dict[str, object]]:
        mine = [(number, *state) for (its, number), state in self.ports.items() if its == dpid]
        return [{"portNo": number, "type": kind, "regionName": region} for number, kind, region in mine]

    def _createRegion(self, region: str) -> None:
        if region in self.regions:
            raise Refusal("it is there")
        self.regions[region] = {}

    def _destroyRegion(self, region: str) -> None:
        if any(its == region for _, its in self.ports.values()) or self.regions[region]:
            raise Refusal("it is in use")
        del self.regions[region]

    def _setServerPort(self, dpid: str, number: str, region: str) -> None:
        port = self.ports[dpid, int(number)]
        if region not in self.regions or port[1]:
            raise Refusal("no such region, or the port is in one")
        port[:] = ["ServerPort", region]

    def _clearServerPort(self, dpid: str, number: str) -> None:
        self.ports[dpid, int(number)][:] = ["", ""]

    def _setOuterPortAssociationSetting(self, dpid: str, number: str, outer: str, inner: str, region: str) -> None:
        self.regions[region][dpid, int(number)] = (int(outer), int(inner))

    def _clearOuterPortAssociationSetting(self, dpid: str, number: str, outer: str) -> None:
        for region in self.regions.values():
            if region.get((dpid, int(number)), (None,))[0] == int(outer):
                del region[dpid, int(number)]

    def _save(self) -> None:
        pass


def description(address: str, *, inside: str = "", before: str = "") -> bytes:
    """WSDL 1.1, document/literal wrapped. `inside` is put among its types, `before` above everything."""

    def element(name: str, parts: tuple[str, ...], more: str = "") -> str:
        lines = "".join(
            f'<xs:element name="{part.split(":")[0]}" type="xs:{part.split(":")[1]}" minOccurs="0"/>' for part in parts
        )
        inner = f"<xs:complexType><xs:sequence>{lines}{more}</xs:sequence></xs:complexType>"
        return f'<xs:element name="{name}">{inner}</xs:element>'

    types = "".join(
        f'<xs:complexType name="{name}"><xs:sequence>'
        + "".join(f'<xs:element name="{p.split(":")[0]}" type="xs:{p.split(":")[1]}" minOccurs="0"/>' for p in parts)
        + "</xs:sequence></xs:complexType>"
        for name, parts in TYPES.items()
    )
    elements = messages = operations = bound = ""
    for name, parts in OPERATIONS.items():
        kind = ANSWERS.get(name)
        many = f'<xs:element name="return" type="t:{kind}" minOccurs="0" maxOccurs="unbounded"/>' if kind else ""
        elements += element(name, parts) + element(f"{name}Response", (), many)
        for end in (name, f"{name}Response"):
            messages += f'<message name="{end}"><part name="parameters" element="t:{end}"/></message>'
        operations += (
            f'<operation name="{name}"><input message="t:{name}"/><output message="t:{name}Response"/></operation>'
        )
        body = '<soap:body use="literal"/>'
        bound += (
            f'<operation name="{name}"><soap:operation soapAction=""/><input>{body}</input>'
            f"<output>{body}</output></operation>"
        )
    return f"""<?xml version="1.0"?>{before}
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
 xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="{SPACE}" targetNamespace="{SPACE}">
<types><xs:schema targetNamespace="{SPACE}" elementFormDefault="unqualified">
{inside}{types}{elements}</xs:schema></types>
{messages}<portType name="Ofc">{operations}</portType>
<binding name="OfcSoap" type="t:Ofc"><soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>{bound}</binding>
<service name="OfcService"><port name="OfcPort" binding="t:OfcSoap">
<soap:address location="{address}"/></port></service>
</definitions>""".encode()


@contextmanager
def serving(controller: Controller) -> Iterator[Controller]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(controller))
    controller.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield controller
    finally:
        server.shutdown()
        server.server_close()


def _handler(controller: Controller) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # An address that leads elsewhere: calls go where the inventory says all the same.
            text = controller.wsdl or description("http://127.0.0.1:9/elsewhere")
            self._send(200 if self.path == "/ofc?wsdl" else 404, text)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._send(*_answer(controller, body))

        def _send(self, status: int, text: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/xml; charset=utf-8")
            self.send_header("Content-Length", str(len(text)))
            if status == 302:
                self.send_header("Location", controller.address)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _answer(controller: Controller, body: bytes) -> tuple[int, bytes]:
    [asked] = etree.fromstring(body).find(f"{{{ENVELOPE}}}Body")
    name = etree.QName(asked).localname
    values = [part.text or "" for part in asked]
    assert len(values) == len(OPERATIONS[name]), f"{name} takes {OPERATIONS[name]}"
    try:
        rows = controller.do(name, *values)
    except Refusal as exc:
        words = str(exc).replace("\x1b", "").replace("<", "&lt;")
        return 500, _envelope(
            f"<s:Fault><faultcode>s:Server</faultcode><faultstring>{words}</faultstring></s:Fault>"
        )  # fmt: skip
    if controller.answer is not None:
        return 200, controller.answer
    inner = "".join(f"<return>{''.join(f'<{k}>{v}</{k}>' for k, v in row.items())}</return>" for row in rows)
    return 200, _envelope(f'<t:{name}Response xmlns:t="{SPACE}">{inner}</t:{name}Response>')


def _envelope(inner: str) -> bytes:
    return f'<s:Envelope xmlns:s="{ENVELOPE}"><s:Body>{inner}</s:Body></s:Envelope>'.encode()


Described = Callable[[str], bytes]
