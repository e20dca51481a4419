"""Sentences that were stored in English as they happened, said in the reader's language.

An error, an event or a task is stored as it was, for logs, commands and notices. A page that shows one asks here: a
sentence of a known form is said anew in the language of the page, whatever else stays as it stands.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_noop as _

FORMS = (
    # how installs end: installs/ending.py, sweep.py, flow.py, actions.py
    _("The machine is off."),
    _("The machine was left as it is."),
    _("No disk was written."),
    _("Nothing was written."),
    _("The machine may no longer write."),
    _("It has no BMC: switch it off by hand."),
    _("Could not verify that the machine is off (%(why)s)."),
    _("The BMC took the command, but the machine did not go off: have a look at it."),
    _("cancelled by %(who)s"),
    _("%(name)s was protected meanwhile"),
    _("%(name)s booted the ramdisk, which then said nothing for %(minutes)s min: look at its console."),
    _("%(name)s did not boot from the network for %(minutes)s min: check boot order, cable and DHCP lines."),
    _(
        "%(name)s did not boot from the network for %(minutes)s min: its BMC did not keep the boot device that it was "
        "told."
    ),
    _("Set the boot order of its machine type to network first, then retry."),
    _("%(name)s is still off after %(number)s tries to switch it on: look at its power supply, then retry."),
    _("%(name)s is still on after %(number)s tries to switch it off: look at its BMC, then retry."),
    _("The BMC was told to boot from %(device)s and now says %(found)s: the firmware may ignore it."),
    _("%(name)s was written, but its OS did not call for %(minutes)s min: look at its console."),
    _("The commands for first boot ended with %(code)s: see /var/log/dodai-first-boot.log on the machine."),
    _("The OS of %(name)s answers at %(address)s with the sign of this install; its own call never came."),
    _("%(name)s fell silent for %(minutes)s min during %(phase)s: look at its console."),
    _("%(name)s: the step %(step)s took longer than it may"),
    _("%(name)s went off during %(phase)s."),
    _("%(name)s went off while Dodai waited for %(event)s."),
    _("a fault in Dodai itself (%(kind)s): see the worker's log"),
    _("%(words)s (tried %(times)s times)"),
    _("%(words)s; trying again"),
    _("Dodai itself was down for %(seconds)s s (from %(time)s) during %(doing)s"),
    _("this time does not count against the machine."),
    _("plan %(digest)s"),
    _("install %(number)s"),
    _("%(name)s: the installer failed"),
    # who asked, where no person did: installs/allocation/refill.py, releasing/due.py
    _("the pool"),
    _("the end of the time to undo"),
    # the boot and the write grant: installs/boot.py, grant.py
    _("%(mac)s asked how to boot and got the ramdisk"),
    _("The machine, or another one with its MAC, booted the ramdisk again."),
    _("Only one boot gets the grant."),
    _("A second machine used a boot script's address."),
    _("May write disk %(disk)s"),
    _("There is no disk in it, so there is nothing to erase."),
    _("%(name)s: the disk %(disk)s is in %(other)s as well."),
    _("%(name)s: the disk %(path)s (%(number)s) is not in the inventory."),
    _("the kernel that asks is not the one that fetched the script"),
    _("the grant of this attempt was given to an earlier boot of the machine; start a new attempt"),
    _("%(name)s: it was protected after the install was planned."),
    _("%(name)s: %(fact)s changed after the plan was approved."),
    _("%(name)s is a computer that Dodai itself runs on (%(fact)s): nothing is done to it."),
    _("the stored plan"),
    # switch ports and operations: installs/ports/, installs/methods/operations/, installs/site_hook.py
    _("%(name)s: its switch ports could not be moved: %(why)s"),
    _("%(name)s: move its switch ports as its page says, and confirm it there"),
    _("Its switch ports could not be put back (%(why)s)."),
    _("%(mac)s is no longer entered at %(switch)s port %(port)s: nothing was sent"),
    _("nobody moved %(ports)s within %(hours)s hours"),
    _("%(place)s is in %(found)s instead of %(wanted)s"),
    _("%(name)s was not handed over: %(step)s: %(why)s"),
    _("Hand-over: %(step)s (%(seconds)s s)"),
    _("Dodai knows no address of it"),
    _("Dodai has no key of its own for this OS."),
    _("The OS never told its SSH host keys."),
    _("%(name)s stays in use: %(why)s"),
    _("the site refuses: %(why)s"),
    _("the site could not be asked: %(why)s"),
    _("the hook failed: %(why)s"),
    _("The site agrees."),
    # waves: installs/waves/
    _("%(name)s: %(what)s changed since this plan was shown: look at the new plan."),
    _("%(name)s is protected: take the protection off in the inventory first."),
    _("%(name)s is in the hands of %(install)s (asked by %(who)s): cancel that first."),
    _("%(name)s is %(state)s, nothing can be installed on it."),
    _("%(count)s installs failed, %(others)s were cancelled: %(names)s"),
    _("the list of machines"),
    _("the machine"),
    _("the disk"),
    _("the image"),
    _("the layout"),
    _("the way it is booted (addresses, ramdisk, kernel line)"),
    _("%(name)s: serial number is %(found)s, the inventory says %(entered)s."),
    _("%(name)s: system UUID is %(found)s, the inventory says %(entered)s."),
    _("%(name)s: network card %(mac)s of the inventory is not in this machine."),
    _("%(name)s: the disk's %(fact)s is %(found)s, the plan says %(planned)s."),
    _("%(name)s: %(count)s disks of this machine have the serial number %(serial)s."),
    # what machines turn out to be: machines/actions.py
    _("%(name)s: found the serial number %(found)s, the inventory says %(entered)s"),
    _("%(name)s: found the system UUID %(found)s, the inventory says %(entered)s"),
    _("%(name)s: a network card found in it belongs to %(twin)s in the inventory"),
    _("%(name)s: found the serial number %(found)s, which is %(twin)s's"),
    _("%(name)s: found the system UUID %(found)s, which is %(twin)s's"),
    _("%(name)s: found the BMC %(address)s, which is %(twin)s's"),
    # allocations and the pool: installs/allocation/
    _("in the place of one that failed"),
    _("could not be given back: %(why)s"),
    _("%(later)s came after %(what)s."),
    _("Failed: %(machines)s"),
    _("%(count)s more wanted: no machine of the type %(type)s is free for it."),
    _("Paused until %(time)s UTC: %(install)s of %(name)s failed (%(cause)s)."),
    _("The image %(image)s is retired."),
    _("allocation %(number)s"),
    _("an allocation"),
    # releases and erasures: installs/site_hook.py, installs/methods/operations/release.py, installs/erasing/report.py
    _("%(name)s stays in use: %(why)s"),
    _("%(name)s keeps its data: %(why)s"),
    _("the site refuses: %(why)s"),
    _("the site could not be asked: %(why)s"),
    _("The site agrees."),
    _("Not erased: %(error)s"),
    _("the disk %(disk)s is not erased: %(why)s"),
    # people instead of methods, and fallbacks: installs/methods/manual.py, sweep.py, by_hand.py, fallbacks.py
    _("%(name)s: install %(image)s by hand, by its checklist"),
    _("An operator is called for %(name)s."),
    _("%(name)s: no operator took it on for %(minutes)s min."),
    _("%(name)s: the operator who took it on did not say how it went for %(minutes)s min."),
    _("The operator may have written its disks."),
    _("Goes on as %(install)s, by the method %(method)s."),
    _("Begun because %(install)s failed: %(cause)s."),
    _("No fallback to %(method)s: %(why)s"),
    # people instead of BMCs: machines/power/manual.py
    _("%(name)s has no BMC: %(task)s by hand"),
    _("switch it on"),
    _("switch it off"),
    _("shut it down"),
    _("restart it"),
    _("choose %(device)s in its boot menu"),
    _("%(task)s by hand"),
    # power: machines/power/, machines/jobs.py
    _("%(name)s: the BMC at %(address)s"),
    _("%(bmc)s does not answer: is its address right, is it plugged in?"),
    _("%(bmc)s did not answer within %(seconds)s s: is its address right, is it plugged in?"),
    _("%(bmc)s refused the user or password: correct them in the inventory"),
    _("%(bmc)s does not allow this user to do it"),
    _("%(bmc)s cannot do this while the machine is in its present power state"),
    _("%(bmc)s cannot be reached: %(why)s"),
    _("%(bmc)s: the call ended without an answer"),
    _("this process stood still for so long that others may have gone on: nothing was sent"),
    _("%(name)s has no power driver: choose one in the inventory"),
    _("%(name)s has no BMC address: enter it in the inventory"),
    _("%(name)s is off, there is nothing to reset"),
    _("power is on"),
    _("power is off"),
    _("power is unknown"),
    _("reset"),
    _("has shut down"),
    _("was switched off hard: its OS did not shut down"),
    _("%(who)s took over"),
    # the installer: templates/scripts/
    _("%(name)s: The image %(image)s has the SHA-256 %(found)s, the catalogue says %(wanted)s."),
    _("It was not unpacked."),
    _("%(name)s: The image is %(found)s bytes long, not the %(planned)s that were planned."),
    _("%(name)s: No disk has %(wanted)s."),
    _("This machine has: %(found)s."),
    _("%(name)s: The server answered HTTP %(status)s for %(url)s."),
    _("%(name)s: No bytes of %(url)s in %(seconds)s s (curl's code %(code)s)."),
    _("%(name)s: The image %(image)s has no kernel (vmlinuz*) in /boot."),
    # keys of the pool and hand-overs: installs/handover/, templates/scripts/handover/
    _("The OS's first call told no SSH host key: Dodai cannot go in to hand the machine over."),
    _("The OS's first call told what is no SSH host key; that part was ignored."),
    _("A later call told other SSH host keys than the first; the first ones count."),
    _("Dodai has no key of its own for this OS."),
    _("The OS never told its SSH host keys."),
    _("%(host)s port %(port)s does not answer (%(why)s)"),
    _("%(host)s port %(port)s takes connections, but its SSH server does not answer"),
    _("%(host)s port %(port)s did not answer like an SSH server (%(kind)s)"),
    _("%(host)s port %(port)s did not answer within %(seconds)s s: does it run?"),
    _("%(host)s port %(port)s shows none of the SSH host keys that its OS told: nothing was told to it"),
    _("%(host)s port %(port)s fell silent while Dodai logged in"),
    _("%(host)s port %(port)s does not take the machine's own key"),
    _("it fell silent, or the connection broke"),
    _("the connection broke"),
    _("it did not end"),
    _("it was not done within %(seconds)s s"),
    _("it said more than %(number)s KiB"),
    _("its program ended with %(number)s"),
    _("it says %(found)s instead of %(wanted)s"),
    _("whether the key still opens it could not be found out: %(why)s"),
    _("its SSH server still takes the key that was removed"),
    _("Its network is set up neither by systemd-networkd nor by ifupdown: Dodai cannot change it."),
    _("The OS takes its network from /etc/dodai/network at its next start."),
    _("The OS takes its network at its next start."),
    _("All cards by DHCP: its network was left as it is."),
    _("networkctl could not reload the network's settings."),
    _("ifup could not bring up all cards."),
    _("The card %(name)s, by which Dodai came, takes its settings at the next start."),
    _("Keys for the accounts %(names)s."),
    _("It has no account %(name)s."),
    # notices: dodaiweb/outbound.py, installs/notices/delivery.py
    _("answered %(status)s"),
    _("answered %(status)s, a redirect, which is not followed: enter where it leads"),
    _("taken by the mail server"),
    _("%(host)s, port %(port)s: %(why)s"),
    _("%(host)s did not answer in time"),
    _("%(host)s took longer than %(seconds)s s"),
    _("the certificate of %(host)s is not good: %(why)s"),
    _("the name %(host)s could not be resolved (%(why)s)"),
    _("%(host)s is %(address)s, an address of this network: allow private addresses if that is meant"),
    _("%(host)s is %(address)s, which is never called"),
    _("the URL must begin with http:// or https:// and name a host"),
    _("the URL must not carry a user or password before the host"),
    _("no mail server is set: start Dodai with DODAI_MAIL_URL"),
    _("the mail server answered %(code)s"),
    _("the mail server refused the receiver (%(code)s)"),
    _("the mail server refused our user or password (%(code)s)"),
    _("the mail server %(host)s failed: %(why)s"),
)  # fmt: skip
WORDS_ONLY = dict.fromkeys(("address", "host", "port", "status", "code", "seconds", "minutes", "number", "mac"), r"\S+")
HOLE = re.compile(r"%\((\w+)\)s")
SENTENCES = re.compile(r"(?<=[.?]) +(?=[A-Z])|(?<=\w)(; )(?=\w)")


def told(text: str) -> str:
    """`text` in the language of the page, as far as its sentences are of a known form."""
    language = get_language() or "en"
    return text if language.startswith("en") or not text else _told(str(text), language)


@lru_cache(maxsize=2000)
def _told(text: str, language: str) -> str:
    """Cached by language too: lists show the same sentences again and again."""
    if (whole := _as_known(text, language)) is not None:
        return whole
    pieces = [piece for piece in SENTENCES.split(text) if piece]
    if len(pieces) == 1:
        return text
    return "".join(_joined([piece if piece == "; " else _told(piece, language) for piece in pieces]))


def _as_known(text: str, language: str) -> str | None:
    for form, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return gettext(form) % {name: _told(value, language) for name, value in found.groupdict().items()}
    return None


def _joined(pieces: list[str]) -> Iterator[str]:
    for number, piece in enumerate(pieces):
        follows_sentence = number and piece != "; " and pieces[number - 1] != "; "
        yield f" {piece}" if follows_sentence else piece


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """The forms as expressions. The longer one first: a short one with a hole would take what a longer says better."""
    ordered = sorted(FORMS, key=lambda form: len(HOLE.sub("", form)), reverse=True)
    return [(form, re.compile(HOLE.sub(_hole, _escaped(form)))) for form in ordered]


def _hole(found: re.Match[str]) -> str:
    """What may stand there: one word for what is a word, else anything up to the next part of an enumeration."""
    return f"(?P<{found[1]}>{WORDS_ONLY.get(found[1], '[^;]+?')})"


def _escaped(form: str) -> str:
    return "".join(part if HOLE.fullmatch(part) else re.escape(part) for part in re.split(r"(%\(\w+\)s)", form))
