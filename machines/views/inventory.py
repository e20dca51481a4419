"""The pages of inventory files: choose one, see what it would change, confirm. And the exports."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machines import inventory
from machines.history import name_of
from machines.inventory import uploads
from machines.inventory.reading import BIGGEST_FILE_BYTES, decode
from machines.inventory.storing import Changed
from machines.models import InventoryUpload

SHOWN = 200  # of each list of a preview
EXPORTS: dict[str, tuple[Callable[[], str], str]] = {
    "csv": (inventory.export_csv, "text/csv; charset=utf-8"),
    "yaml": (inventory.export_yaml, "application/yaml; charset=utf-8"),
}

KINDS = {
    "site": gettext_lazy("site"), "machine_type": gettext_lazy("machine type"), "vlan": gettext_lazy("VLAN"),
    "cluster": gettext_lazy("cluster"), "switch": gettext_lazy("switch"), "credentials": gettext_lazy("credentials"),
    "machine": gettext_lazy("machine"),
}  # fmt: skip

entering = permission_required("machines.add_machine", raise_exception=True)
seeing = permission_required("machines.view_credentials", raise_exception=True)


class _InMemory(FileUploadHandler):
    """Keeps what is uploaded off the disk: Django would put a large file, with its passwords, under /tmp."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._chunks: list[bytes] = []
        self._size = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._size += len(raw_data)
        if self._size > BIGGEST_FILE_BYTES:
            raise StopUpload(connection_reset=False)
        self._chunks.append(raw_data)

    def file_complete(self, file_size: int) -> Any:
        return SimpleUploadedFile(self.file_name or "", b"".join(self._chunks))


@csrf_exempt  # the token is checked below, once the upload has been told where to go
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@entering
def inventory_import(request: HttpRequest) -> HttpResponse:
    request.upload_handlers = [_InMemory(request)]
    return _choose(request)


@csrf_protect
def _choose(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _entrance(request, "", [], status=200)
    file = request.FILES.get("file")
    if file is None:
        words = _("Choose a file of at most %(size)s MiB first.") % {"size": BIGGEST_FILE_BYTES >> 20}
        return _entrance(request, "", [words])
    try:
        text = decode(file.read())
        inventory.read(text, file.name or "")
    except inventory.InventoryProblem as exc:
        return _entrance(request, file.name or "", exc.problems)
    kept = uploads.keep(text, file.name or "", by=request.user.get_username())
    return redirect("inventory_preview", kept.key)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@entering
def inventory_preview(request: HttpRequest, key: str) -> HttpResponse:
    try:
        kept = uploads.find(key, by=request.user.get_username())
        if request.method == "POST":
            return _confirm(request, kept)
        return _show(request, kept)
    except inventory.InventoryProblem as exc:
        return _entrance(request, "", exc.problems, status=410)


@require_POST
@entering
def inventory_forget(request: HttpRequest, key: str) -> HttpResponse:
    InventoryUpload.objects.filter(key=key.replace("\0", ""), by=request.user.get_username()).delete()
    messages.info(request, _("Nothing was imported, and the file is forgotten."))
    return redirect("inventory_import")


@require_safe
@never_cache
@seeing
def inventory_export(request: HttpRequest, form: str) -> HttpResponse:
    if form not in EXPORTS:
        raise Http404
    make, kind = EXPORTS[form]
    name = f"dodai-inventory-{localtime(now()):%Y-%m-%d}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    text = make()
    return HttpResponse(f"\ufeff{text}" if form == "csv" else text, content_type=kind, headers=headers)


def _show(request: HttpRequest, kept: InventoryUpload, *, status: int = 200) -> HttpResponse:
    plan = inventory.make_plan(inventory.read(kept.text, kept.file_name))
    missing = sorted(name for name in plan.permissions() if not request.user.has_perm(name))
    values = {
        "kept": kept, "plan": plan, "shown": SHOWN, "minutes": int(uploads.KEPT_FOR.total_seconds() // 60),
        "missing": [name.rpartition("_")[2] for name in missing], "kinds": KINDS, "name_of": name_of,
    }  # fmt: skip
    return render(request, "machines/import_preview.html", values, status=422 if plan.problems else status)


def _confirm(request: HttpRequest, kept: InventoryUpload) -> HttpResponse:
    plan = inventory.make_plan(inventory.read(kept.text, kept.file_name))
    if not all(request.user.has_perm(name) for name in plan.permissions()):
        return _show(request, kept, status=403)
    try:
        result = inventory.import_text(kept.text, kept.file_name, approved=request.POST.get("approved", ""))
    except Changed:
        messages.error(request, _("The inventory was changed meanwhile, and nothing was imported: look again."))
        return _show(request, kept, status=409)
    except inventory.InventoryProblem:
        return _show(request, kept)
    kept.delete()
    done = ngettext("%(n)s thing was created", "%(n)s things were created", result.created) % {"n": result.created}
    changed = ngettext("%(n)s was changed", "%(n)s were changed", result.changed) % {"n": result.changed}
    messages.success(request, _("Imported: %(created)s, %(changed)s.") % {"created": done, "changed": changed})
    return redirect("machines")


def _entrance(request: HttpRequest, name: str, problems: Any, *, status: int = 422) -> HttpResponse:
    values = {"biggest": BIGGEST_FILE_BYTES, "file_name": name, "problems": list(problems)}
    return render(request, "machines/import.html", values, status=status)
