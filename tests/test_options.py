"""The options of `up`, and what they tell the settings."""

import argparse
from pathlib import Path

import pytest

from dodaiweb import options


def test_with_nothing_said_everything_is_on_loopback():
    chosen = options.parse([])
    assert (chosen.host, chosen.port) == ("127.0.0.1", 8000)
    assert (chosen.provision_host, chosen.provision_port, chosen.image_port) == ("127.0.0.1", 8001, 8002)
    assert (chosen.lab, chosen.workers) == (3, 2)


def test_machines_are_told_the_ports_that_were_chosen():
    told = options.environment(options.parse(["--provision-host", "192.0.2.7", "--provision-port", "9001"]), {})
    assert told["DODAI_PROVISION_URL"] == "http://192.0.2.7:9001"
    assert told["DODAI_IMAGE_URL"] == "http://192.0.2.7:9002"


def test_what_the_operator_has_set_stands():
    given = {"DODAI_PROVISION_URL": "http://boot.example:80"}
    assert options.environment(options.parse([]), given)["DODAI_PROVISION_URL"] == "http://boot.example:80"


def test_names_that_the_operator_set_come_to_those_of_this_computer():
    told = options.environment(options.parse([]), {"DODAI_ALLOWED_HOSTS": "dodai.example.org"})["DODAI_ALLOWED_HOSTS"]
    assert told.split(",") == ["localhost", "127.0.0.1", "[::1]", "dodai.example.org"]


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::", "*"])
def test_a_listener_on_every_address_is_never_advertised_as_such(wildcard):
    assert options.advertised_address(wildcard) not in options.WILDCARDS | {"[::]"}


def test_an_ipv6_address_is_written_for_a_url():
    assert options.advertised_address("2001:db8::1") == "[2001:db8::1]"


def test_the_pages_open_under_the_address_they_listen_on():
    assert "192.0.2.9" in options.environment(options.parse(["--host", "192.0.2.9"]), {})["DODAI_ALLOWED_HOSTS"]


def test_the_data_folder_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert options.parse(["--data", "here"]).data == tmp_path / "here"
    assert options.parse(["--data", "~/there"]).data == Path.home() / "there"


def test_no_lab_is_none():
    assert options.parse(["--no-lab"]).lab == 0


@pytest.mark.parametrize(
    "arguments",
    [["--port", "0"], ["--port", "70000"], ["--provision-port", "65535"], ["--workers", "0"], ["--lab", "x"]],
)
def test_numbers_out_of_range_are_refused(arguments, capsys):
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(arguments)
    assert "is not a number from" in capsys.readouterr().err
