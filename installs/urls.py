from django.urls import path

from installs import install_list, install_page, notice_views, views

urlpatterns = [
    path("machines/<slug:name>/install/", views.plan_page, name="plan"),
    path("machines/<slug:name>/inspect/", views.inspect, name="inspect"),
    path("installs/", install_list.installs, name="installs"),
    path("installs/export.csv", install_list.installs_csv, name="installs_csv"),
    path("installs/<int:number>/", install_page.install, name="install"),
    path("installs/<int:number>/log.txt", install_page.log, name="log"),
    path("installs/<int:number>/console.txt", install_page.console, name="console"),
    path("installs/<int:number>/cancel/", views.cancel, name="cancel"),
    path("installs/<int:number>/retry/", views.retry, name="retry"),
    path("images/", views.images, name="images"),
    path("notices/", notice_views.targets, name="notices"),
    path("notices/<int:number>/", notice_views.target, name="notice"),
    path("notices/<int:number>/test/", notice_views.test, name="notice_test"),
    path("notices/<int:number>/remove/", notice_views.remove, name="notice_remove"),
]
