from django.urls import path

from machines import views

urlpatterns = [
    path("machines/<slug:name>/power/", views.power, name="power"),
    path("machines/<slug:name>/bmc-test/", views.test_bmc, name="bmc_test"),
    path("machines/<slug:name>/root-disk/", views.root_disk, name="root_disk"),
    path("sightings/", views.sightings, name="sightings"),
]
