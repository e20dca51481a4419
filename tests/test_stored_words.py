"""Sentences that were stored in English are shown in the reader's language where their form is known."""

import re
from datetime import timedelta

import pytest
from django.utils.timezone import now
from django.utils.translation import override

from dodaiweb.stored_words import FORMS, HOLE, told
from installs import actions, sweep
from installs.models import Install
from machines.power.base import BmcEndpoint
from machines.power.manual import ManualPower
from tests import installing, scenes

SENTENCE = re.compile(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}")


def in_japanese(text: str) -> str:
    with override("ja"):
        return told(text)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_recognised_as_itself(form):
    filled = HOLE.sub("X7", form)
    said = in_japanese(filled)
    assert said != filled
    assert said.count("X7") >= len(HOLE.findall(form))


def test_sentences_in_a_row_are_said_one_by_one():
    first = "node1 did not boot from the network for 10 min: check boot order, cable and DHCP lines."
    said = in_japanese(f"{first} Nothing was written.")
    assert said.startswith("node1 は 10 分間")
    assert said.endswith("何も書き込まれていません。")


def test_what_stands_in_a_sentence_is_said_too():
    error = "n7: the BMC at 10.0.0.7:623 cannot be reached: timed out"
    said = in_japanese(f"Could not verify that the machine is off ({error}).")
    assert "n7: 10.0.0.7:623 の BMC" in said
    assert "timed out" in said


@pytest.mark.parametrize("text", ["", "FAILED in phase verify", "100 % of %(x)s <b>", "Anything. That. One; typed"])
def test_what_is_not_known_stays_as_it_stands(text):
    assert in_japanese(text) == text


def test_in_english_nothing_changes():
    assert told("node1 was protected meanwhile") == "node1 was protected meanwhile"


def test_what_a_person_has_to_do():
    endpoint = BmcEndpoint(
        machine="node1", driver="manual", host="", port=0, system_id="", username="", password="", uefi=False
    )
    with pytest.raises(Exception, match="by hand") as asked:
        ManualPower(endpoint).off()
    said = "node1 には BMC がないため、手動で電源を切ってください; 手動で電源を入れてください"
    assert in_japanese(f"{asked.value}; switch it on by hand") == said


@pytest.fixture
def install(db) -> Install:
    return scenes.start(installing.make_machine(), installing.make_image())


@pytest.mark.parametrize("awaited", ["install", "installed", "install_reboot"])
def test_what_the_sweep_stores(install, awaited):
    scenes.work()
    late = now() - timedelta(days=1)
    Install.objects.update(awaited=awaited, silence=timedelta(minutes=5), quiet_until=late, phase="copy")
    sweep.sweep()
    install.refresh_from_db()
    assert "look" in install.error or "check" in install.error
    assert not SENTENCE.search(in_japanese(install.error))


def test_how_a_cancelled_install_ends(install):
    scenes.work()
    actions.cancel(install, by="ada")
    scenes.settle(install)
    assert in_japanese(install.error) == "ada がキャンセル"
    assert not SENTENCE.search(in_japanese(install.left_behind))
    for text in install.events.exclude(text="").values_list("text", flat=True):
        assert not SENTENCE.search(in_japanese(text)), text
