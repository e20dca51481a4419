"""/metrics: for who shows the token of `manage.py metrics-token`, and for who may see machines."""

import hmac

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dodaiweb import keys, metrics


@require_safe
@never_cache
@login_not_required
def show(request: HttpRequest) -> HttpResponse:
    if _has_token(request) or request.user.has_perm("machines.view_machine"):
        return HttpResponse(metrics.text(), content_type=metrics.CONTENT_TYPE)
    if request.user.is_authenticated:
        raise PermissionDenied
    wanted = "Send the token that `manage.py metrics-token` prints as: Authorization: Bearer TOKEN\n"
    return HttpResponse(wanted, status=401, content_type="text/plain", headers={"WWW-Authenticate": "Bearer"})


def _has_token(request: HttpRequest) -> bool:
    kind, _, shown = request.headers.get("Authorization", "").partition(" ")
    token = keys.metrics_token(settings.DATA)
    return bool(token) and kind.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
