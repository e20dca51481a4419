"""What an older Dodai's rows become."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from installs.models import Install
from tests import installing, scenes

BEFORE_SCRIPTS_WERE_APART = [("installs", "0006_caps_and_waves")]


def migrate(targets: list[tuple[str, str]]):
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return MigrationExecutor(connection).loader.project_state(targets).apps


@pytest.mark.django_db(transaction=True)
def test_scripts_of_installs_go_with_them(request):
    request.addfinalizer(scenes.restore_groups)
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    machine = installing.make_machine()
    try:
        old = migrate(BEFORE_SCRIPTS_WERE_APART).get_model("installs", "Install")
        with_script = old.objects.create(
            machine_id=machine.pk, method="file-tree", state="installed", script="#!/bin/sh\n"
        )
        without = old.objects.create(machine_id=machine.pk, method="inspect", state="failed")
    finally:
        migrate(newest)
    assert Install.objects.get(pk=with_script.pk).script.text == "#!/bin/sh\n"
    assert not hasattr(Install.objects.get(pk=without.pk), "script")
