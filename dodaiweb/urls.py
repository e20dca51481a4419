"""The pages' listener."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from dodaiweb import views

urlpatterns = [
    path("login/", LoginView.as_view(template_name="login.html", redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", login_not_required(require_POST(set_language)), name="set_language"),
    path("admin/", admin.site.urls),
    path("", views.fleet, name="fleet"),
    path("machines/", views.machines, name="machines"),
    path("machines/<slug:name>/", views.machine, name="machine"),
    path("", include("machines.urls")),
    path("", include("installs.urls")),
]
