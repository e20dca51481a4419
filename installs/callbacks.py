"""The views of the provisioning listener: parse, know who speaks, call one verb, answer.

No session, no cookie, no page. A valid token gets 200, an ended attempt 410, everything else the same 404.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from dodaiweb import hello
from installs import answering, boot, flow, grant, machine_words, scripts, staying, tokens
from installs.handover import host_keys
from installs.iscsi import exporting
from installs.methods import METHODS
from installs.methods.base import BootKernel
from installs.models import Boot, Install
from installs.settings_document import shell_settings
from machines import facts, identity

BODY_LIMIT_BYTES = 256 << 10
LOADERS = {"ipxe": "boot/boot.ipxe", "pxelinux": "boot/pxelinux.cfg", "grub": "boot/grub.cfg"}
EXIT_CODE = re.compile(r"[0-9]{1,3}")
BOOT_ID = re.compile(r"^[0-9a-f-]{36}$")
View = Callable[..., HttpResponse]


def for_machines(view: View) -> View:
    """What these views share: no CSRF (no cookies), capped bodies, and 503 with a time while the database is away.

    A view that raises BadRequest answers 400.
    """

    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            length = int(request.headers.get("Content-Length") or 0)
        except ValueError:
            return text("bad Content-Length\n", 400)
        if length > BODY_LIMIT_BYTES:
            return text(f"at most {BODY_LIMIT_BYTES} bytes, please\n", 413)
        try:
            return view(request, *args, **kwargs)
        except BadRequest as problem:
            return text(f"{problem}\n", 400)
        except DatabaseError:
            response = text("the database is away, ask again\n", 503)
            response["Retry-After"] = "5"
            return response

    return guarded


@contextmanager
def _reading() -> Iterator[None]:
    """What a machine sent is read within. Raises BadRequest for what cannot be read."""
    try:
        yield
    except (ValueError, RecursionError) as exc:
        raise BadRequest(f"{type(exc).__name__}: {str(exc)[:200]}") from exc


def text(body: str, status: int = 200) -> HttpResponse:
    return _sized(HttpResponse(body, content_type="text/plain; charset=utf-8", status=status))


def not_found(*_args: object, **_kwargs: object) -> HttpResponse:
    return text("not found\n", 404)


@for_machines
def say_hello(request: HttpRequest, nonce: str) -> HttpResponse:
    """Whoever checks an advertised URL learns that it leads to this Dodai, and nothing else."""
    if not hello.NONCE.fullmatch(nonce):
        return not_found()
    return text(hello.proof(settings.DATA, nonce, listener="provision"))


@for_machines
def ipxe(request: HttpRequest) -> HttpResponse:
    if "mac" not in request.GET:
        return text(scripts.render("boot/who.ipxe", base=""))
    return _boot_answer(request, request.GET["mac"], "ipxe")


@for_machines
def pxelinux(request: HttpRequest, name: str) -> HttpResponse:
    if not name.startswith("01-"):
        return not_found()  # PXELINUX also tries UUIDs, addresses and `default`
    return _boot_answer(request, name, "pxelinux")


@for_machines
def grub_who(request: HttpRequest) -> HttpResponse:
    return text(scripts.render("boot/who.grub"))


@for_machines
def grub(request: HttpRequest, mac: str) -> HttpResponse:
    return _boot_answer(request, mac, "grub")


@for_machines
def script(request: HttpRequest, token: str) -> HttpResponse:
    boot_id = request.POST.get("boot_id") or request.GET.get("boot_id") or ""
    found = boot.fetch_script(token, boot_id) if tokens.is_well_formed(token) and BOOT_ID.match(boot_id) else None
    return not_found() if found is None else text(found)


@for_machines
def file(request: HttpRequest, token: str, name: str) -> HttpResponse:
    """What an installer fetches by itself: it cannot say which boot of its kernel it is."""
    found = boot.fetch_file(token, name) if tokens.is_well_formed(token) else None
    return not_found() if found is None else text(found)


@for_machines
def event(request: HttpRequest, name: str) -> HttpResponse:
    claimed = _installer(request)
    if claimed is None:
        return not_found()
    result = machine_words.hear(claimed, name, request.body, address=request.META.get("REMOTE_ADDR"))
    return _answer(result)


@for_machines
def ask_grant(request: HttpRequest) -> HttpResponse:
    claimed = _installer(request)
    if claimed is None:
        return not_found()
    with _reading():
        raw = facts.load(request.body)
        found = facts.parse(raw)
        disk = None if METHODS[claimed.install.method].writes_all_disks else facts.parse_disk(raw.get("disk"))
    return _settings_of(claimed, grant.ask(claimed, found, disk))


def _settings_of(boot: Boot, decided: grant.Granted | grant.Refused | grant.Over) -> HttpResponse:
    match decided:
        case grant.Over():
            return _answer("ended")
        case grant.Refused(reason):
            return text(scripts.render("boot/refused.sh", reason=reason))
        case grant.Granted(first_boot_token):
            install = Install.objects.select_related("machine").get(pk=boot.install_id)
            if not first_boot_token:
                return text(scripts.render("boot/granted.sh", settings={}))
            return text(shell_settings(install, first_boot_token))


@for_machines
def ask_answers(request: HttpRequest) -> HttpResponse:
    """What an installer reads, for who may have it: a lot of secrets."""
    claimed = _installer(request)
    if claimed is None:
        return not_found()
    with _reading():
        found = facts.parse(facts.load(request.body))
    match answering.ask(claimed, found):
        case grant.Over():
            return _answer("ended")
        case answering.Nothing():
            return not_found()
        case grant.Refused(reason):
            return text(scripts.render("boot/refused.sh", reason=reason))
        case answering.Given(given, before):
            return text(scripts.render("boot/answers.sh", text=given, before=before))


@for_machines
def ask_settings(request: HttpRequest) -> HttpResponse:
    """The settings of a system that runs from memory: what the grant's answer is to one on a disk."""
    claimed = _installer(request)
    if claimed is None:
        return not_found()
    with _reading():
        found = facts.parse(facts.load(request.body))
    return _settings_of(claimed, staying.ask_settings(claimed, found))


@for_machines
def ask_export(request: HttpRequest) -> HttpResponse:
    """A ramdisk says for which copy its disk is exported, and is told for which one it shall be."""
    claimed = _installer(request)
    if claimed is None:
        return not_found()
    with _reading():
        said = facts.load(request.body or b"{}")
    if not isinstance(said, dict):
        return text("an object, please\n", 400)
    if not exporting.exports_disks(claimed.install):
        return not_found()
    wanted = exporting.ask(claimed, said, address=request.META.get("REMOTE_ADDR"))
    return _answer("ended") if wanted is None else text(scripts.render("boot/export.sh", wanted=wanted))


@for_machines
def first_boot(request: HttpRequest, token: str) -> HttpResponse:
    may_be = request.method == "POST" and tokens.is_well_formed(token)  # what a crawler fetches moves nothing
    install = Install.objects.filter(first_boot_hash=tokens.digest(token)).first() if may_be else None
    if install is None:
        return not_found()
    host_keys.record(install, host_keys.said_in(request.POST))
    code = request.POST.get("commands", "")
    said = {"commands": int(code)} if EXIT_CODE.fullmatch(code) else {}
    return _answer(flow.receive(install.pk, "installed", data=said, address=request.META.get("REMOTE_ADDR")))


def _boot_answer(request: HttpRequest, mac: str, loader: str) -> HttpResponse:
    said = {name: request.GET.get(name, "").replace("\0", "") for name in ("platform", "serial", "uuid")}
    asked = boot.Question(
        mac=mac, address=request.META.get("REMOTE_ADDR"), platform=said["platform"][:15], serial=said["serial"][:127],
        uuid=said["uuid"][:36],
    )  # fmt: skip
    try:
        decided = boot.answer(asked)
    except identity.BadIdentity:
        decided = boot.BootDisk()
    return text(scripts.render(LOADERS[loader], kernel=decided if isinstance(decided, BootKernel) else None,
                               local_boot=getattr(decided, "local_boot", "auto")))  # fmt: skip


def _installer(request: HttpRequest) -> Boot | None:
    """The kernel boot that speaks, by its token in the Authorization header."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if request.method != "POST" or kind != "Bearer" or not tokens.is_well_formed(token):
        return None
    speaking = Boot.objects.filter(installer_hash=tokens.digest(token)).select_related("install")
    return next(iter(speaking.only("boot_id", *(f"install__{name}" for name in machine_words.READ_OF_INSTALL))), None)


def _answer(result: str) -> HttpResponse:
    status = {"ended": 410, "unknown": 404, "bad": 400}.get(result, 200)
    return _sized(JsonResponse({"result": result}, status=status))


def _sized(response: HttpResponse) -> HttpResponse:
    """With its length, so that a machine need not wait for the connection's end, and never kept by a cache."""
    response["Content-Length"], response["Cache-Control"] = len(response.content), "no-store"
    return response
