"""The page of the pool: its levels, what there is for each, and what people change."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from installs.models import Install, PoolLevel
from machines.models import Machine, MachineType
from tests import installing, pooling, scenes
from tests.allocation.conftest import fleet, image, kind  # noqa: F401 - used by their names
from tests.test_pages_content import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fake_power():
    from machines.power import fake

    fake.forget()
    with scenes.named_ramdisk():
        yield
    fake.forget()


@pytest.fixture
def level(kind, image) -> PoolLevel:  # noqa: F811
    return PoolLevel.objects.create(type=kind, image=image, level=3, at_once=2, set_by="ada")


def handed_over(machine: Machine, pooled: Install, seconds: float) -> Install:
    begun = now() - timedelta(hours=1)
    return Install.objects.create(
        machine=machine, method="hand-over", state="installed", plan={"told": {"install": pooled.pk}},
        plan_digest="ab" * 32, requested_by="ada", queued_at=begun, ended_at=begun + timedelta(seconds=seconds),
    )  # fmt: skip


def test_a_level_shows_what_is_warm_being_installed_and_missing(operator, fleet, level, image):  # noqa: F811
    one, two, three, *_ = fleet(4)
    pooling.warm(one, image)
    scenes.start(two, image)
    Install.objects.filter(machine=two).update(is_for_pool=True)
    said = text_of(operator.get("/pool/"))
    assert "m1 with debian 1 of 3 warm, 1 being installed 1 machine is missing" in said
    assert "node1 Warm since" in said
    assert "node2 Being installed" in said
    assert three.name not in said
    assert "None was handed over yet." in said


def test_what_is_older_than_its_image_is_marked(operator, fleet, level, image):  # noqa: F811
    pooling.warm(fleet(1)[0], image)
    image.kernel_args = "quiet"
    image.save()
    said = text_of(operator.get("/pool/"))
    assert "0 of 3 warm, 1 outdated" in said
    assert "node1 Outdated" in said
    assert "its image is newer" in said


def test_why_it_is_not_full(operator, level):
    PoolLevel.objects.update(problem="2 more wanted: no machine of the type m1 is free for it.")
    assert "2 more wanted: no machine of the type m1 is free for it." in text_of(operator.get("/pool/"))


def test_how_long_hand_overs_took_stands_at_their_level(operator, fleet, level, image, kind):  # noqa: F811
    one, _two = fleet(2)
    other = PoolLevel.objects.create(type=MachineType.objects.create(name="other"), image=image)
    pooled = pooling.warm(one, image)
    for seconds in (2.0, 4.0, 60.0):
        handed_over(one, pooled, seconds)
    html = operator.get("/pool/").content.decode()
    first, second = (html.partition(f'id="level{each.pk}"')[2].partition("</section>")[0] for each in (level, other))
    assert "The last 3 hand-overs took 4.0 s each, by the median." in first
    assert "None was handed over yet." in second


def test_a_single_hand_over_is_said_as_one(operator, fleet, level, image):  # noqa: F811
    (one,) = fleet(1)
    handed_over(one, pooling.warm(one, image), 2.0)
    assert "The last hand-over took 2.0 s." in text_of(operator.get("/pool/"))


def test_only_the_last_ten_count(operator, fleet, level, image):  # noqa: F811
    (one,) = fleet(1)
    pooled = pooling.warm(one, image)
    for _ in range(10):
        handed_over(one, pooled, 500.0)
    for _ in range(10):
        handed_over(one, pooled, 3.0)
    assert "The last 10 hand-overs took 3.0 s each" in text_of(operator.get("/pool/"))


def test_a_level_is_set_changed_and_removed(operator, kind, image):  # noqa: F811
    assert "No machine is kept warm" in text_of(operator.get("/pool/"))
    given = {"type": kind.pk, "image": image.pk, "level": 2, "at_once": 1}
    assert operator.post("/pool/", given)["Location"] == "/pool/"
    assert "0 of 2 warm" in text_of(operator.get("/pool/"))
    operator.post("/pool/", given | {"level": 5})
    made = PoolLevel.objects.get()
    assert (made.level, made.at_once, made.set_by) == (5, 1, "operator")
    said = text_of(operator.post(f"/pool/{made.pk}/remove/", follow=True))
    assert "No machine of m1 is kept warm with debian any more." in said
    assert not PoolLevel.objects.exists()
    assert operator.post(f"/pool/{made.pk}/remove/").status_code == 404


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"level": ""}, "This field is required"), ({"level": "-1"}, "greater than or equal to 0"),
        ({"at_once": "0"}, "greater than or equal to 1"), ({"type": "7777"}, "Select a valid choice"),
        ({"level": "9" * 30}, "less than or equal to 200"),
    ],
)  # fmt: skip
def test_a_wrong_level_is_said(operator, kind, image, wrong, words):  # noqa: F811
    answer = operator.post("/pool/", {"type": kind.pk, "image": image.pk, "level": 2, "at_once": 1} | wrong)
    assert (answer.status_code, words in text_of(answer)) == (422, True)
    assert not PoolLevel.objects.exists()


def test_a_retired_image_cannot_be_chosen(operator, kind, image):  # noqa: F811
    image.retired_at = now()
    image.save()
    answer = operator.post("/pool/", {"type": kind.pk, "image": image.pk, "level": 2, "at_once": 1})
    assert "Select a valid choice" in text_of(answer)


def test_a_viewer_looks_and_sets_nothing(client, level):
    client.force_login(scenes.make_user("viewer"))
    html = client.get("/pool/").content.decode()
    assert "0 of 3 warm" in html
    assert 'name="at_once"' not in html
    given = {"type": level.type_id, "image": level.image_id, "level": 0, "at_once": 1}
    assert client.post("/pool/", given).status_code == 403
    assert client.post(f"/pool/{level.pk}/remove/").status_code == 403
    assert PoolLevel.objects.get().level == 3


def test_more_rows_need_no_more_queries(operator, level, image, fleet, django_assert_max_num_queries):  # noqa: F811
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    machines = fleet(8)
    handed_over(machines[0], pooling.warm(machines[0], image), 3)
    with CaptureQueriesContext(connection) as few:
        operator.get("/pool/")
    for number in range(2, 6):
        PoolLevel.objects.create(type=MachineType.objects.create(name=f"t{number}"), image=image)
    for machine in machines[1:]:
        handed_over(machine, pooling.warm(machine, image), 3)
    installing.make_machine("other", number=99)
    with django_assert_max_num_queries(len(few)):
        operator.get("/pool/")
