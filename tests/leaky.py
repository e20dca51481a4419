"""Tests that let secrets out, each by another way, and some that do not. Only tests/test_leaks.py runs them."""

import logging
import sys

import django_rq
import pytest

from dodaiweb import keys
from installs import tokens

logger = logging.getLogger("dodaiweb.leaky")
SECRET = "c4n4ry-of-the-leaky"


@pytest.fixture
def secret() -> str:
    keys.encrypt(SECRET, purpose="bmc password")
    return SECRET


def test_leaks_into_the_log(secret):
    logger.warning("the BMC refused %s", secret)


def test_leaks_into_a_traceback_in_the_log(secret):
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("it broke")


def test_leaks_by_being_printed(secret):
    print("password:", secret)


def test_leaks_to_standard_error(secret):
    print("password:", secret, file=sys.stderr)


def test_leaks_as_a_url_spells_it():
    keys.encrypt("c4n4ry/of the leaky", purpose="notice secret")
    logger.warning("GET /?x=c4n4ry%2Fof%20the%20leaky")


def test_leaks_a_secret_variable_of_an_image():
    keys.encrypt('{"variables": "root_hash: $6$c4n4ry$hash\\nx: y"}', purpose="image secrets")
    logger.warning("chpasswd: $6$c4n4ry$hash")


def test_leaks_a_password_of_a_switch():
    keys.encrypt('{"password": "c4n4ry-of-a-switch"}', purpose="switch secrets")
    logger.warning("logging in with c4n4ry-of-a-switch")


def test_leaks_into_the_queue(secret):
    django_rq.get_queue("default").enqueue("builtins.print", secret)


def test_leaks_a_token_beside_the_filters():
    print(tokens.new(), file=sys.stderr)


def test_leaks_the_key_of_the_run(settings):
    print(settings.SECRET_KEY)


def test_says_nothing(secret):
    logger.warning("the BMC refused its password")


def test_masks_a_token():
    logger.warning("Not Found: /script/%s", tokens.new())


def test_prints_a_token_for_who_asked():
    print(tokens.new())


def test_says_what_another_test_kept_secret():
    logger.warning(SECRET)
