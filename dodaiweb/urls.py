"""The pages' listener."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from dodaiweb.views import (
    activity_page,
    connect_page,
    decisions,
    doctor_page,
    fleet,
    login,
    machine_list,
    machine_page,
    many_pages,
    metrics_page,
    places_pages,
    releasing_pages,
    system_page,
)

urlpatterns = [
    path("login/", login.Login.as_view(), name="login"),
    path("admin/login/", login.admin_login),
    path("admin/logout/", LogoutView.as_view()),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", login_not_required(require_POST(set_language)), name="set_language"),
    path("admin/", admin.site.urls),
    path("", fleet.fleet, name="fleet"),
    path("connect/", connect_page.connect, name="connect"),
    path("connect/<int:number>/add/", connect_page.adopt, name="enter_sighting"),
    path("practice/remove/", fleet.practice_remove, name="practice_remove"),
    path("practice/return/", fleet.practice_return, name="practice_return"),
    path("metrics", metrics_page.show, name="metrics"),
    path("system/", system_page.show, name="system"),
    path("activity/", activity_page.show, name="activity"),
    path("doctor/", doctor_page.doctor, name="doctor"),
    path("doctor/check-up/", doctor_page.check_up, name="check_up"),
    path("machines/", machine_list.machines, name="machines"),
    path("machines/ids.json", machine_list.machine_ids, name="machine_ids"),
    path("machines/list.csv", machine_list.machines_csv, name="machines_csv"),
    path("many/install/", many_pages.plan_many, name="plan_many"),
    path("many/results/", many_pages.many_results, name="many_results"),
    path("many/<slug:verb>/", many_pages.many_page, name="many"),
    path("machines/<slug:name>/", machine_page.machine, name="machine"),
    path("machines/<slug:name>/notes/", machine_page.notes, name="notes"),
    path("machines/<slug:name>/cluster/", releasing_pages.choose_cluster, name="choose_cluster"),
    path("machines/<slug:name>/release/", releasing_pages.release_machine, name="release"),
    path("machines/<slug:name>/undo-release/", releasing_pages.undo_release, name="undo_release"),
    path("machines/<slug:name>/erase/", releasing_pages.erase, name="erase"),
    path("machines/<slug:name>/set-aside/", decisions.decide, {"verb": "set_aside"}, name="set_aside"),
    path("machines/<slug:name>/take-back/", decisions.take_back, name="take_back"),
    path("machines/<slug:name>/broken/", decisions.decide, {"verb": "mark_broken"}, name="mark_broken"),
    path("machines/<slug:name>/repaired/", decisions.repaired, name="repaired"),
    path("machines/<slug:name>/adopt/", decisions.decide, {"verb": "adopt"}, name="adopt"),
    path("machines/<slug:name>/reserve/", decisions.decide, {"verb": "reserve"}, name="reserve"),
    path("machines/<slug:name>/give-free/", decisions.give_free, name="give_free"),
    path("machines/<slug:name>/protection/", decisions.protection, name="protection"),
    path("machines/<slug:name>/retire/", decisions.retire, name="retire"),
    path("machines/<slug:name>/bring-back/", decisions.bring_back, name="bring_back"),
    path("clusters/", places_pages.clusters, name="clusters"),
    path("clusters/<int:number>/", places_pages.cluster, name="cluster"),
    path("vlans/", places_pages.vlans, name="vlans"),
    path("vlans/<int:number>/", places_pages.vlan, name="vlan"),
    path("", include("machines.urls")),
    path("", include("installs.urls")),
]
