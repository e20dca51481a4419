from django.urls import path

from installs import install_page, views

urlpatterns = [
    path("machines/<slug:name>/install/", views.plan_page, name="plan"),
    path("machines/<slug:name>/inspect/", views.inspect, name="inspect"),
    path("installs/", views.installs, name="installs"),
    path("installs/<int:number>/", install_page.install, name="install"),
    path("installs/<int:number>/log.txt", install_page.log, name="log"),
    path("installs/<int:number>/console.txt", install_page.console, name="console"),
    path("installs/<int:number>/cancel/", views.cancel, name="cancel"),
    path("installs/<int:number>/retry/", views.retry, name="retry"),
    path("images/", views.images, name="images"),
]
