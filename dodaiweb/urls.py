"""The pages' listener."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from dodaiweb import views

urlpatterns = [
    path("login/", LoginView.as_view(template_name="login.html", redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("", views.fleet, name="fleet"),
    path("machines/", views.machines, name="machines"),
    path("machines/<slug:name>/", views.machine, name="machine"),
    path("", include("machines.urls")),
    path("", include("installs.urls")),
]
