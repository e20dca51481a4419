from django.urls import path, re_path

from machines import inventory_views, views

urlpatterns = [
    path("machines/<slug:name>/power/", views.power, name="power"),
    path("machines/<slug:name>/bmc-test/", views.test_bmc, name="bmc_test"),
    path("machines/<slug:name>/root-disk/", views.root_disk, name="root_disk"),
    path("sightings/", views.sightings, name="sightings"),
    path("inventory/import/", inventory_views.inventory_import, name="inventory_import"),
    path("inventory/import/<str:key>/", inventory_views.inventory_preview, name="inventory_preview"),
    path("inventory/import/<str:key>/forget/", inventory_views.inventory_forget, name="inventory_forget"),
    re_path(r"^inventory/export\.(?P<form>csv|yaml)$", inventory_views.inventory_export, name="inventory_export"),
]
