"""Two people at one sighting at the same moment: one enters it, the other is told so."""

from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from machines import adopting
from machines.actions import Refused
from machines.models import Interface, Machine, Sighting
from tests import installing
from tests.installs.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 5


def seen(number: int) -> list[Sighting]:
    """One sighting, as two requests have it in hand."""
    made = Sighting.objects.create(mac=f"52:54:00:aa:bb:{number:02x}", serial=f"SN{number}")
    return [Sighting.objects.get(pk=made.pk) for _ in range(2)]


def one_and_one_told(results: list[object]) -> tuple[Machine, str]:
    entered = [result for result in results if isinstance(result, Machine)]
    told = [str(result) for result in results if isinstance(result, Refused)]
    assert (len(entered), len(told)) == (1, 1), results
    return entered[0], told[0]


@pytest.mark.parametrize("names", [("same", "same"), ("one", "two")])
def test_of_two_who_enter_the_same_sighting_one_is_told(names):
    installing.main_site()
    for number in range(ROUNDS):
        pairs = zip(seen(number), names, strict=True)
        calls = [partial(adopting.adopt, sighting, name=f"{name}-{number}") for sighting, name in pairs]
        machine, words = one_and_one_told(at_once(*calls))
        assert "somebody else entered or forgot it" in words
        assert Interface.objects.get(mac=f"52:54:00:aa:bb:{number:02x}").machine == machine
    assert (Machine.objects.count(), Sighting.objects.count()) == (ROUNDS, 0)


def test_of_two_who_give_the_same_name_one_is_told_and_its_sighting_stays():
    installing.main_site()
    for number in range(ROUNDS):
        (first, _), (second, _) = seen(2 * number), seen(2 * number + 1)
        calls = [partial(adopting.adopt, sighting, name=f"same-{number}") for sighting in (first, second)]
        _machine, words = one_and_one_told(at_once(*calls))
        assert "Somebody else entered" in words or "already exists" in words
    assert (Machine.objects.count(), Sighting.objects.count()) == (ROUNDS, ROUNDS)


def test_of_one_who_enters_it_and_one_who_gives_it_to_a_machine_one_is_told():
    known = installing.make_machine("known", number=200)
    for number in range(ROUNDS):
        first, second = seen(number)
        enter = partial(adopting.adopt, first, name=f"new-{number}")
        one_and_one_told(at_once(enter, partial(adopting.add_card, second, name="known")))
        assert Interface.objects.filter(mac=f"52:54:00:aa:bb:{number:02x}").count() == 1
    assert known.interfaces.count() - 1 + Machine.objects.count() - 1 == ROUNDS


def test_pages_answer_both():
    installing.main_site()
    user = get_user_model().objects.create_superuser("root", password=None)
    for number in range(ROUNDS):
        sighting, _ = seen(number)
        clients = [Client(), Client()]
        for each in clients:
            each.force_login(user)
        form = {"name": f"m{number}", "serial": "", "uuid": ""}
        answers = at_once(*[partial(each.post, f"/sightings/{sighting.pk}/", form) for each in clients])
        assert {answer.status_code for answer in answers} <= {302, 409, 422}, answers
        assert Machine.objects.filter(name=f"m{number}").count() == 1
