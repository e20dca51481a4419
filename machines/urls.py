from django.urls import path

from machines import inventory_views, places_views, sighting_views, views

urlpatterns = [
    path("machines/<slug:name>/power/", views.power, name="power"),
    path("machines/<slug:name>/bmc-test/", views.test_bmc, name="bmc_test"),
    path("machines/<slug:name>/root-disk/", views.root_disk, name="root_disk"),
    path("clusters/", places_views.clusters, name="clusters"),
    path("clusters/<int:number>/", places_views.cluster, name="cluster"),
    path("vlans/", places_views.vlans, name="vlans"),
    path("vlans/<int:number>/", places_views.vlan, name="vlan"),
    path("sightings/", sighting_views.sightings, name="sightings"),
    path("sightings/<int:number>/", sighting_views.sighting, name="sighting"),
    path("sightings/<int:number>/card/", sighting_views.add_card, name="sighting_card"),
    path("sightings/<int:number>/dismiss/", sighting_views.dismiss, name="sighting_dismiss"),
    path("inventory/import/", inventory_views.inventory_import, name="inventory_import"),
    path("inventory/import/<str:key>/", inventory_views.inventory_preview, name="inventory_preview"),
    path("inventory/import/<str:key>/forget/", inventory_views.inventory_forget, name="inventory_forget"),
    path("inventory/export/<slug:form>/", inventory_views.inventory_export, name="inventory_export"),
]
