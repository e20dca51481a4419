"""What pages say in Japanese: times, sizes, and what an install is doing."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils.translation import override

from dodaiweb import formats
from dodaiweb.pages import grouped
from installs.advice import advice_for
from installs.lifecycle import State
from installs.methods import METHODS
from installs.words import words_for
from tests.test_pages_words import BOOTED, MB, at, events, install, timeline

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _japanese():
    with override("ja"):
        yield


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(2, "2 秒"), (72, "1 分 12 秒"), (3 * 3600 + 300, "3 時間 5 分"), (7200, "2 時間"), (3 * 86400, "3 日")],
)
def test_durations(seconds, said):
    assert formats.duration(timedelta(seconds=seconds)) == said


def test_short_durations_have_a_digit_more():
    assert formats.duration(0.42, exact=True) == "0.4 秒"


def test_a_time_of_another_day_names_the_day_first_and_keeps_its_zone():
    assert formats.clock(NOON, now=NOON) == "12:00:00 UTC"
    assert formats.clock(NOON, now=NOON + timedelta(days=2)) == "3月4日 12:00 UTC"
    assert formats.clock(NOON, now=NOON + timedelta(days=400)) == "2026年3月4日 12:00 UTC"


def test_sizes():
    assert formats.share_of(41 * MB, 62 * MB) == "62 MB 中 41"
    assert formats.size(512) == "512 バイト"
    assert formats.ago(None) == "なし"


def test_large_numbers_are_grouped():
    assert grouped(12345) == "12,345"


def test_what_an_install_is_doing():
    copying = install(
        phase="copy", done_bytes=41 * MB, total_bytes=62 * MB, bytes_per_second=12 * MB, progress_at=at(20),
        silence=timedelta(minutes=3), quiet_until=at(200), give_up_at=at(900),
    )  # fmt: skip
    said = words_for(copying, timeline(copying, events(*BOOTED, ("phase", "copy", 17))), now=at(20))
    assert said.headline == "ファイルのコピー"
    assert said.details == "62 MB 中 41, 12 MB/s, 残り約 2 秒"
    assert "打ち切り" in said.deadline


def test_tables_of_words_follow_the_language_of_the_reader():
    assert State.FAILED.label == "失敗"
    assert advice_for("power-lost").text.startswith("マシンの電源")
    with override("en"):
        assert State.FAILED.label == "Failed"
        assert advice_for("power-lost").text.startswith("The machine")


def test_what_is_stored_or_logged_stays_english():
    assert all(method.done_label.isascii() for method in METHODS.values())
    assert all(label.isascii() for method in METHODS.values() for _, label in method.milestones)
