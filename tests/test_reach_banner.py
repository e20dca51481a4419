"""What pages say when real machines cannot reach Dodai."""

import pytest

from machines.models import Site
from tests import installing

pytestmark = pytest.mark.django_db


def test_every_page_says_that_no_machine_can_reach_dodai(admin_client):
    installing.make_machine()
    Site.objects.update(provision_url="http://127.0.0.1:8001")
    assert "no machine can reach it" in admin_client.get("/").content.decode()
    Site.objects.update(provision_url="http://198.51.100.1:8001")
    assert "no machine can reach it" not in admin_client.get("/").content.decode()
