"""Pages and buttons of images and their imports."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dodaiweb import deeds
from dodaiweb.deeds import Deed
from installs import checklist, success
from installs.images import boot_match, contract_words, debian, import_words, imports, stock
from installs.images.import_form import ImportForm
from installs.methods import METHODS
from installs.methods.installer.family import InstallerMethod
from installs.models import Image, ImageImport, Install
from machines.lifecycle import State
from machines.models import Machine

IMPORTS_SHOWN = 8
STAYS = timedelta(days=1)  # so long a failed import stands in the list
INSTALLS_SHOWN = 20
MACHINES_MATCHED = 500  # of a larger fleet these stand for all; a plan looks at its own machine

seeing = permission_required("machines.view_machine", raise_exception=True)
adding = permission_required("installs.add_image", raise_exception=True)
changing = permission_required("installs.change_image", raise_exception=True)
deleting = permission_required("installs.delete_image", raise_exception=True)


@require_safe
@never_cache
@seeing
def images(request: HttpRequest) -> HttpResponse:
    used = Machine.objects.exclude(image_name="").values_list("image_name").annotate(n=Count("pk")).order_by()
    recent = list(ImageImport.objects.select_related("image")[:IMPORTS_SHOWN])
    return render(request, "installs/images.html", {
        "images": stock.present(),
        "used": dict(used),
        "methods": METHODS,
        "imports": [import_words.words_for(each) for each in recent if each.is_live or _failed_lately(each)],
        "offers_debian": imports.wants_debian(),
        "debian_name": debian.IMAGE_NAME,
    })  # fmt: skip


def _failed_lately(each: ImageImport) -> bool:
    return each.state == ImageImport.State.FAILED and each.ended_at is not None and each.ended_at > now() - STAYS


@require_safe
@never_cache
@seeing
def image(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(stock.present(), pk=number)
    installs = Install.objects.filter(image=found).select_related("machine__site").order_by("-pk")
    return render(request, "installs/image.html", {
        "image": found,
        "method": METHODS.get(found.method),
        "has_answers": isinstance(METHODS.get(found.method), InstallerMethod),
        "report": found.report,
        "problems": [contract_words.words(code) for code in found.report.get("problems", [])],
        "warnings": [contract_words.words(code) for code in found.report.get("warnings", [])],
        "installs": installs[:INSTALLS_SHOWN],
        "usual": stock.usual_seconds(found),
        "users": stock.users(found),
        "success": success.rates(Install.objects.filter(image=found)),
        "methods": METHODS,
        "checklist": checklist.html(str(found.metadata.get("checklist", ""))) if found.method == "manual" else "",
        "fits": _fits(found),
        "same": Image.objects.present().filter(sha256=found.sha256).exclude(Q(pk=found.pk) | Q(sha256="")),
    })  # fmt: skip


def _fits(found: Image) -> dict[str, Any]:
    """How many machines it starts on by its drivers, and those that it does not, with the reason."""
    known = Machine.objects.exclude(state=State.RETIRED).filter(inspected_at__isnull=False).order_by("name")
    matches = [(each, boot_match.match(found, each)) for each in known.prefetch_related("disks")[:MACHINES_MATCHED]]
    return {
        "yes": sum(match.verdict == "yes" for _machine, match in matches),
        "unknown": sum(match.verdict == "unknown" for _machine, match in matches),
        "no": [(each, match) for each, match in matches if match.verdict == "no"],
        "looked_at": len(matches),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@adding
def import_new(request: HttpRequest) -> HttpResponse:
    """The form. An upload is asked for by the page's own script, which then sends the parts: it wants JSON."""
    form = ImportForm(request.POST or None)
    wants_json = request.headers.get("Accept") == "application/json"
    if request.method == "POST" and form.is_valid():
        try:
            asked = form.ask(by=request.user.get_username())
        except imports.Refused as problem:
            form.add_error(None, str(problem))
        else:
            number, part_bytes = asked.pk, imports.PART_BYTES
            return JsonResponse({"number": number, "part_bytes": part_bytes}) if wants_json else _to_import(asked)
    if wants_json:
        return JsonResponse({"error": " ".join(_problems(form))}, status=422)
    return render(request, "installs/import_new.html", {"form": form}, status=422 if form.errors else 200)


def _problems(form: ImportForm) -> list[str]:
    return [str(problem) for problems in form.errors.values() for problem in problems]


@require_safe
@never_cache
@seeing
def import_page(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(ImageImport.objects.select_related("image"), pk=number)
    return render(request, "installs/import.html", {"words": import_words.words_for(found), "import": found})


@require_POST
@adding
def part(request: HttpRequest, number: int) -> HttpResponse:
    """One part of an upload: raw bytes that begin at `?at=`. Answers how many bytes are there."""
    wanted = get_object_or_404(ImageImport, pk=number, requested_by=request.user.get_username())
    at = request.GET.get("at", "")
    if not at.isdecimal() or len(at) > 18:
        return JsonResponse({"error": _("Say with ?at= where the part begins.")}, status=400)
    if int(request.headers.get("Content-Length") or 0) > imports.PART_BYTES:
        return JsonResponse({"error": _("This part is too large.")}, status=413)
    try:
        held = imports.receive_part(wanted.pk, int(at), request.read(imports.PART_BYTES + 1))
    except imports.OutOfPlace as problem:
        return JsonResponse({"error": str(problem), "held": problem.held}, status=409)
    except imports.Refused as problem:
        return JsonResponse({"error": str(problem)}, status=422)
    return JsonResponse({"held": held})


@require_POST
@adding
def import_cancel(request: HttpRequest, number: int) -> HttpResponse:
    wanted = get_object_or_404(ImageImport, pk=number)
    try:
        imports.cancel(wanted, by=request.user.get_username())
        messages.success(request, _("Cancelled: nothing of it stays."))
    except imports.Refused as problem:
        messages.error(request, str(problem))
    return _to_import(wanted)


@require_POST
@adding
def import_again(request: HttpRequest, number: int) -> HttpResponse:
    ended = get_object_or_404(ImageImport, pk=number)
    try:
        return _to_import(imports.try_again(ended, by=request.user.get_username()))
    except imports.Refused as problem:
        messages.error(request, str(problem))
    return _to_import(ended)


@require_POST
@adding
def import_debian(request: HttpRequest) -> HttpResponse:
    try:
        return _to_import(imports.ask_debian(by=request.user.get_username()))
    except imports.Refused as problem:
        messages.error(request, str(problem))
    return redirect("images")


@require_POST
@changing
def retire(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Image.objects.present(), pk=number)
    stock.retire(found)
    deeds.note(request.user, Deed.RETIRED, found)
    messages.success(request, _("%(image)s is retired: nothing new is installed from it.") % {"image": found.name})
    return redirect("image", number)


@require_POST
@changing
def bring_back(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Image.objects.present(), pk=number)
    stock.bring_back(found)
    deeds.note(request.user, Deed.BROUGHT_BACK, found)
    messages.success(request, _("%(image)s can be installed again.") % {"image": found.name})
    return redirect("image", number)


@require_POST
@deleting
def delete(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Image.objects.present(), pk=number)
    try:
        stock.delete(found, by=request.user.get_username())
    except stock.InUse as problem:
        messages.error(request, str(problem))
        return redirect("image", number)
    deeds.note(request.user, Deed.REMOVED, Image(pk=number, name=found.name))
    messages.success(request, _("%(image)s is deleted.") % {"image": found.name})
    return redirect("images")


def _to_import(wanted: ImageImport) -> HttpResponse:
    return redirect("image_import", wanted.pk)
