"""What the installer of a real machine would read, with its secrets left out."""

from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from installs import celled, plan
from installs.methods import METHODS
from installs.methods.base import NetworkBoot
from installs.methods.installer import answers, source
from installs.methods.installer.family import InstallerMethod
from installs.models import Image
from machines.models import Machine

MACHINES_OFFERED = 1000

changing = permission_required("installs.change_image", raise_exception=True)


@require_safe
@never_cache
@changing
def preview(request: HttpRequest, number: int) -> HttpResponse:
    """The answer file is read where it is, rendered for the machine of `?machine=` and checked. Nothing is kept."""
    image = get_object_or_404(Image.objects.present(), pk=number)
    method = METHODS.get(image.method)
    if not isinstance(method, InstallerMethod):
        raise Http404
    machines = Machine.objects.select_related("type", "site").order_by("name")
    asked = request.GET.get("machine", "")
    machine = get_object_or_404(machines, name=asked) if asked else machines.first()
    made, problem = _made(image, machine) if machine else (None, "")
    return render(request, "installs/answers.html", {
        "image": image,
        "machine": machine,
        "machines": machines[:MACHINES_OFFERED],
        "made": made,
        "problem": problem,
        "kernel": _kernel(method, image, machine) if machine and image.metadata.get("kernel") else None,
    })  # fmt: skip


def _made(image: Image, machine: Machine) -> tuple[answers.Made | None, str]:
    """What comes of it, or why nothing does."""
    try:
        return answers.make(image, plan.for_install(machine, image).frozen, machine, with_secrets=False), ""
    except (source.NoSource, celled.CellProblem) as problem:
        return None, str(problem)


def _kernel(method: InstallerMethod, image: Image, machine: Machine) -> str:
    """The kernel's command line; three dots stand for the token that each boot is told."""
    frozen = plan.for_install(machine, image).frozen
    pxe = machine.pxe_interface
    boot = NetworkBoot("…", pxe.mac if pxe else "", frozen["provision_url"])
    kernel = method.kernel(frozen, boot)
    return " ".join((kernel.kernel_url, *kernel.kernel_args))
