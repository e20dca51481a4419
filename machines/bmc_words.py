"""What a finding of Test BMC means, in words: what is so, and what to do about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as N_

from machines.saying import say


class Level(StrEnum):
    DANGER = "danger"
    BAD = "bad"
    WEAK = "weak"
    INFO = "info"
    OK = "ok"


# code: level, what is so, what to do
WORDS: dict[str, tuple[Level, str, str]] = {
    "reached": (Level.OK, N_("The BMC at %(address)s answers."), ""),
    "silent": (
        Level.BAD, N_("Nobody answers at %(address)s."),
        N_("Check the address, the cable of the BMC's own port, and that remote access is switched on in the BMC."),
    ),
    "unreachable": (
        Level.BAD, N_("%(address)s cannot be reached: %(reason)s."),
        N_("Check the address, and that this computer has a way into the BMCs' network."),
    ),
    "problem": (Level.BAD, "%(text)s", N_("Try again; if it stays so, restart the BMC.")),
    "only-ipmi-1": (
        Level.BAD, N_("It speaks IPMI 1.5 only, which sends everything in the clear."),
        N_("Update the BMC's firmware, or switch IPMI 2.0 on in it."),
    ),
    "anonymous": (
        Level.DANGER, N_("It lets in users without a name."), N_("Disable the user without a name in the BMC now."),
    ),
    "suite-17": (Level.OK, N_("Cipher suite 17 (SHA-256, AES) works and is used."), ""),
    "suite-3": (
        Level.INFO, N_("Cipher suite 3 (SHA-1, AES) works and is used; it has no 17."),
        N_("A newer firmware of the BMC may have cipher suite 17."),
    ),
    "no-suite": (
        Level.BAD, N_("It takes neither cipher suite 17 nor 3."),
        N_("Switch one of them on in the BMC's IPMI settings."),
    ),
    "suite-0-open": (
        Level.DANGER, N_("ANYBODY CAN SWITCH THIS MACHINE: cipher suite 0 lets %(user)s in without the password."),
        N_("Switch cipher suite 0 off in the BMC now (with ipmitool: lan set 1 cipher_privs), and keep others out of "
           "its network until then."),
    ),
    "suite-0": (
        Level.WEAK, N_("It offers cipher suite 0, which asks for no password; it refused this user."),
        N_("Switch cipher suite 0 off: another user may get in."),
    ),
    "suite-weak": (
        Level.WEAK, N_("It takes cipher suite %(suite)s, which encrypts nothing."),
        N_("Switch cipher suite %(suite)s off in the BMC."),
    ),
    "login": (Level.OK, N_("The user %(user)s logs in, with the privilege %(privilege)s."), ""),
    "login-redfish": (Level.OK, N_("The user %(user)s logs in to Redfish %(version)s."), ""),
    "login-refused": (Level.BAD, "%(text)s", N_("Correct user and password in the inventory, then test again.")),
    "too-few-rights": (
        Level.BAD, N_("The user %(user)s may only look: the BMC gives it less than operator."),
        N_("Give it the privilege OPERATOR in the BMC."),
    ),
    "more-rights": (
        Level.INFO, N_("%(user)s may also log in as administrator."),
        N_("Dodai needs no more than operator: give it a user of its own with that."),
    ),
    "power-read": (Level.OK, N_("The power can be read: it is %(power)s."), ""),
    "power-unreadable": (
        Level.BAD, N_("It does not say whether the machine is on."),
        N_("Update the BMC's firmware, or use the driver ipmi."),
    ),
    "boot-read": (Level.OK, N_("The boot device can be read: %(boot)s."), ""),
    "boot-unreadable": (
        Level.WEAK, N_("It does not tell its boot device: Dodai cannot check that the network boot was really set."),
        N_("Set the machine's type to boot from the network first, for ever."),
    ),
    "firmware": (Level.INFO, N_("It says of itself: %(model)s, firmware %(firmware)s."), ""),
    "clock-off": (
        Level.WEAK, N_("Its clock is %(minutes)s minutes off."),
        N_("Give the BMC a time server: its log tells wrong times."),
    ),
    "redfish-too": (
        Level.INFO, N_("It also speaks Redfish %(version)s."),
        N_("Redfish is safer than IPMI: choose the driver redfish in the inventory."),
    ),
    "certificate-vouched": (Level.OK, N_("Its certificate is vouched for by an authority."), ""),
    "certificate-same": (Level.OK, N_("It shows the certificate that was accepted before."), ""),
    "certificate-accepted": (
        Level.INFO, N_("Its certificate was seen for the first time and is accepted from now on: SHA-256 %(seen)s."),
        N_("Compare it with what the BMC's own page shows."),
    ),
    "certificate-changed": (
        Level.DANGER, N_("It shows another certificate than before (SHA-256 %(seen)s): no password was sent."),
        N_("If the certificate was replaced on purpose, accept the new one; else somebody is in between."),
    ),
    "identity-same": (Level.OK, N_("It is the BMC of this machine: %(what)s agrees with the inventory."), ""),
    "identity-other": (
        Level.DANGER, N_("THIS IS THE BMC OF %(machine)s: its %(what)s is that machine's."),
        N_("Correct the addresses of both BMCs before anything is installed: the wrong machine would be switched."),
    ),
    "identity-differs": (
        Level.WEAK, N_("Its %(what)s (%(found)s) is not the one in the inventory (%(known)s)."),
        N_("Check that the address is this machine's; some BMCs tell a value of their own."),
    ),
    "address-shared": (
        Level.BAD, N_("%(machine)s has a BMC at the same address."), N_("Correct one of the two in the inventory."),
    ),
    "password-none": (Level.DANGER, N_("It has no password."), N_("Set one in the BMC and in the inventory.")),
    "password-default": (
        Level.DANGER, N_("Its password is one that everybody tries first."),
        N_("Set one of 16 to 20 letters and digits by chance, in the BMC and in the inventory."),
    ),
    "password-short": (
        Level.WEAK, N_("Its password has fewer than 16 letters: IPMI gives everybody what is needed to guess it."),
        N_("Set one of 16 to 20 letters and digits by chance, in the BMC and in the inventory."),
    ),
    "password-shared": (
        Level.WEAK, N_("%(count)s BMCs have this password: who learns one has them all."),
        N_("Give each BMC a password of its own."),
    ),
}  # fmt: skip
ORDER = list(Level)


@dataclass(frozen=True)
class Sentence:
    level: Level
    what: str
    todo: str

    @property
    def label(self) -> str:
        return level_label(self.level)


def sentences(report: Mapping[str, Any]) -> list[Sentence]:
    """The findings of a stored report in the reader's language, worst first."""
    found = [_sentence(item) for item in report.get("findings", ()) if item.get("code") in WORDS]
    return sorted(found, key=lambda sentence: ORDER.index(sentence.level))


def worst(report: Mapping[str, Any]) -> Level:
    levels = [WORDS[item["code"]][0] for item in report.get("findings", ()) if item.get("code") in WORDS]
    return min(levels, key=ORDER.index, default=Level.OK)


def level_label(level: Level) -> str:
    """What stands beside the colour."""
    return {
        Level.DANGER: _("Danger"), Level.BAD: _("Does not work"), Level.WEAK: _("Weak"), Level.INFO: _("Note"),
        Level.OK: _("Works"),
    }[level]  # fmt: skip


def summary(codes: Iterable[str]) -> str:
    """One line for the history of power commands, in English."""
    levels = [WORDS[code][0] for code in codes if code in WORDS]
    counts = [(levels.count(level), words) for level, words in _COUNTED.items() if level in levels]
    return "BMC tested: " + (", ".join(f"{count} {words}" for count, words in counts) or "nothing to complain of")


_COUNTED = {Level.DANGER: "dangerous", Level.BAD: "not working", Level.WEAK: "weak"}


def _sentence(item: Mapping[str, Any]) -> Sentence:
    level, what, todo = WORDS[item["code"]]
    values = item.get("values") or {}
    return Sentence(level, say(what, values), say(todo, values))
