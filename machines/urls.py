from django.urls import path

from machines.views import buttons, cabling, inventory, sightings

urlpatterns = [
    path("machines/<slug:name>/power/", buttons.power, name="power"),
    path("machines/<slug:name>/bmc-test/", buttons.test_bmc, name="bmc_test"),
    path("machines/<slug:name>/root-disk/", buttons.root_disk, name="root_disk"),
    path("machines/<slug:name>/port-moves/<int:number>/", buttons.port_move, name="port_move"),
    path("cabling/", cabling.show, name="cabling"),
    path("cabling/read/", cabling.read, name="cabling_read"),
    path("cabling/moves/<int:number>/", cabling.move, name="cabling_move"),
    path("sightings/", sightings.sightings, name="sightings"),
    path("sightings/<int:number>/", sightings.sighting, name="sighting"),
    path("sightings/<int:number>/card/", sightings.add_card, name="sighting_card"),
    path("sightings/<int:number>/dismiss/", sightings.dismiss, name="sighting_dismiss"),
    path("inventory/import/", inventory.inventory_import, name="inventory_import"),
    path("inventory/import/<str:key>/", inventory.inventory_preview, name="inventory_preview"),
    path("inventory/import/<str:key>/forget/", inventory.inventory_forget, name="inventory_forget"),
    path("inventory/export/<slug:form>/", inventory.inventory_export, name="inventory_export"),
]
