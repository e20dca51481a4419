from django.urls import path

from installs.views import buttons, image_pages, install_list, install_page, notice_pages

urlpatterns = [
    path("machines/<slug:name>/install/", buttons.plan_page, name="plan"),
    path("machines/<slug:name>/inspect/", buttons.inspect, name="inspect"),
    path("installs/", install_list.installs, name="installs"),
    path("installs/export.csv", install_list.installs_csv, name="installs_csv"),
    path("installs/<int:number>/", install_page.install, name="install"),
    path("installs/<int:number>/log.txt", install_page.log, name="log"),
    path("installs/<int:number>/console.txt", install_page.console, name="console"),
    path("installs/<int:number>/cancel/", buttons.cancel, name="cancel"),
    path("installs/<int:number>/retry/", buttons.retry, name="retry"),
    path("images/", image_pages.images, name="images"),
    path("images/<int:number>/", image_pages.image, name="image"),
    path("images/<int:number>/retire/", image_pages.retire, name="image_retire"),
    path("images/<int:number>/bring-back/", image_pages.bring_back, name="image_bring_back"),
    path("images/<int:number>/delete/", image_pages.delete, name="image_delete"),
    path("imports/new/", image_pages.import_new, name="image_import_new"),
    path("imports/debian/", image_pages.import_debian, name="image_debian"),
    path("imports/<int:number>/", image_pages.import_page, name="image_import"),
    path("imports/<int:number>/part/", image_pages.part, name="image_part"),
    path("imports/<int:number>/cancel/", image_pages.import_cancel, name="image_import_cancel"),
    path("imports/<int:number>/again/", image_pages.import_again, name="image_import_again"),
    path("notices/", notice_pages.targets, name="notices"),
    path("notices/<int:number>/", notice_pages.target, name="notice"),
    path("notices/<int:number>/test/", notice_pages.test, name="notice_test"),
    path("notices/<int:number>/remove/", notice_pages.remove, name="notice_remove"),
]
