"""The login page, slowed down for who guesses: django-axes counts, by user name and address together.

So nobody can lock out a user from another address than their own, nor everybody behind one proxy. The address is that
of the connection; X-Forwarded-For is believed only from the proxies that DODAI_TRUSTED_PROXIES names.
"""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from axes.utils import reset
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

TOO_MANY = 429


class Login(LoginView):
    template_name = "login.html"
    redirect_authenticated_user = True


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: Any) -> HttpResponse:
    """The login page for who failed too often: it says so, and until when. Called by axes."""
    lock: timedelta = settings.AXES_COOLOFF_TIME  # type: ignore[misc]
    minutes = int(lock.total_seconds() // 60)
    values = {"locked_minutes": minutes, "username": request.POST.get("username", ""), "next": ""}
    answer = render(request, "login_locked.html", values, status=TOO_MANY)
    answer.headers["Retry-After"] = str(int(lock.total_seconds()))
    return answer


def client_address(request: HttpRequest) -> str:
    """Who asks: the connection's address, or behind trusted proxies the last one that is none of them."""
    address: str = request.META.get("REMOTE_ADDR", "")
    told = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    while told and _is_trusted(address):
        if not _is_address(told[-1]):
            break
        address = told.pop()
    return address


def unlock(username: str) -> int:
    """Forget the failed logins of a user from everywhere; how many records that were."""
    return int(reset(username=username))


@login_not_required
def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin has no login page of its own: one page to throttle, one to know."""
    if request.user.is_authenticated and not request.user.is_staff:
        raise PermissionDenied
    wanted = request.GET.get("next") or reverse("admin:index")
    return redirect(f"{reverse('login')}?{urlencode({'next': wanted})}")


def _is_trusted(address: str) -> bool:
    proxies: list[IPv4Network | IPv6Network] = settings.TRUSTED_PROXIES  # type: ignore[misc]
    return _is_address(address) and any(ip_address(address) in network for network in proxies)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
