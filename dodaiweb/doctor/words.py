"""What a finding of the check-up means: what is so, why it matters, what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as N_

from installs import reach
from machines.saying import P_, Text, say


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    OK = "ok"


E, W, NOTE, OK = Level.ERROR, Level.WARNING, Level.INFO, Level.OK
_FIND = N_("Machines cannot find Dodai when they boot from the network.")
_LINES = N_("Run `manage.py dhcp-config --network NETWORK` and give your DHCP server the lines that it prints.")
_NEW_PASSWORD = N_("Set one of 16 to 20 letters and digits by chance, in the BMC and in the inventory.")

# code: level, what is so, why it matters, what to do
WORDS: dict[str, tuple[Level, Text, str, str]] = {
    "check-broke": (W, N_("The check “%(check)s” broke off (%(error)s)."), N_("Nobody knows what it would have found."),
                    N_("Look into the log for the reason.")),
    "database-right": (OK, N_("The database answers (%(kind)s) and is up to date."), "", ""),
    "database-away": (E, N_("The database does not answer (%(error)s)."), N_("Nothing goes on without it."),
                      N_("Start it, and check DODAI_DATABASE_URL.")),
    "migrations-missing": (E, P_("%(count)s change of the database's tables is not made yet.",
                      "%(count)s changes of the database's tables are not made yet."),
                           N_("This program and that database do not fit."), N_("Run `manage.py migrate`.")),
    "queue-away": (E, N_("The queue does not answer (%(error)s)."), N_("Installs go on slowly, a step a second."),
                   N_("Start Valkey or Redis, and check DODAI_REDIS_URL.")),
    "queue-closed": (OK, N_("Only who may gets at the queue."), "", ""),
    "queue-open": (E, N_("The queue at %(url)s lets in everybody who can reach it."),
                   N_("Who writes into it runs jobs here, and installs what they like."),
                   N_("Give Valkey or Redis a password (requirepass), or a unix socket of mode 0600.")),
    "workers": (OK, P_("%(count)s worker is there; waiting jobs: %(waiting)s.",
                      "%(count)s workers are there; waiting jobs: %(waiting)s."), "", ""),
    "no-workers": (E, N_("No worker runs."), N_("Nobody carries out power commands, tests and installs."),
                   N_("Start `manage.py up`, or `manage.py worker` on its host.")),
    "watchdog-beats": (OK, N_("The watchdog beats."), "", ""),
    "watchdog-late": (E, N_("The watchdog has not beaten for more than 30 s."),
                      N_("No deadline is kept: an install that hangs is not ended."),
                      N_("Start `manage.py up`, or `manage.py watchdog` on its host.")),
    "poll-late": (W, P_("The power of %(count)s machine was not read for five minutes.",
                      "The power of %(count)s machines was not read for five minutes."),
                  N_("Pages show what was, not what is."),
                  N_("Start `manage.py poll_power`; if it runs, too many BMCs are silent.")),
    "keys-right": (OK, N_("The keys fit the database, and only this user can read them."), "", ""),
    "keys-wrong": (E, N_("The keys do not fit the database."), N_("No BMC password can be read."),
                   N_("Put the files in keys/ back from your backup.")),
    "keys-open": (E, N_("Others on this computer can read %(paths)s."), N_("They open every BMC password."),
                  N_("Run chmod 0600 on the files and 0700 on their folder.")),
    "keys-two": (NOTE, N_("A second field key is there: keys/%(name)s."), "",
                 N_("Run `manage.py rotate-key`: it goes on, and drops the old key once nothing needs it.")),
    "secrets-lost": (E, P_("%(count)s stored password or secret needs a key that is not here.",
                      "%(count)s stored passwords and secrets need a key that is not here."),
                     N_("They cannot be read: those BMCs cannot be switched, those notices not be signed."),
                     N_("Put that key file back from your backup as keys/field_key.old, or set the passwords again.")),
    "clock-kept": (OK, N_("The clock of this computer is kept right."), "", ""),
    "clock-free": (W, N_("Nobody keeps the clock of this computer right."),
                   N_("Certificates fail, and logs of machines do not fit together."),
                   N_("Install chrony, or switch systemd-timesyncd on.")),
    "clock-unknown": (NOTE, N_("The kernel does not say whether the clock is kept right."), "", ""),
    "clock-differs": (W, P_("The clock of %(count)s BMC is off by minutes (%(names)s).",
                      "The clocks of %(count)s BMCs are off by minutes (%(names)s)."),
                      N_("Their logs lie, and their certificates may fail."), N_("Give the BMCs a time server.")),
    "disk-enough": (OK, N_("%(free_gib)s GiB are free in %(folder)s."), "", ""),
    "disk-low": (W, N_("Only %(free_gib)s GiB are free in %(folder)s."),
                 N_("The next image may not fit: an import needs three times its size."),
                 N_("Delete images that nobody uses, or give the folder more room.")),
    "disk-full": (E, N_("Only %(free_gib)s GiB are free in %(folder)s."), N_("The database stops when it is full."),
                  N_("Make room now.")),
    "urls-right": (OK, N_("The URLs that machines are told lead to this Dodai."), "", ""),
    "url-wrong": (E, N_("Machines of %(site)s: %(words)s"), N_("Installs there are refused."), ""),
    "url-unsure": (W, N_("Machines of %(site)s: %(words)s"), "", ""),
    "listener-apart": (OK, N_("%(url)s serves machines, and no page."), "", ""),
    "listener-silent": (E, N_("Nobody answers at %(url)s."), N_("No machine can boot or report."),
                        N_("Start `manage.py up`, or `manage.py provision` and `manage.py images` on their host.")),
    "listeners-mixed": (E, N_("%(url)s also answers %(paths)s."),
                        N_("Machines must not reach pages: they are not trusted."),
                        N_("Give pages and machines ports of their own; correct the proxy in front.")),
    "dhcp-needs-root": (NOTE, N_("Nobody looked who answers DHCP: that needs root."), "",
                        N_("Run `manage.py doctor` as root.")),
    "dhcp-unknown": (NOTE, N_("%(interface)s: nobody could be asked for DHCP (%(reason)s)."), "", ""),
    "dhcp-nobody": (W, N_("%(interface)s: nobody answers DHCP."), _FIND, _LINES),
    "dhcp-nobody-yet": (NOTE, N_("%(interface)s: nobody answers DHCP."), "", _LINES),
    "dhcp-server": (OK, N_("%(interface)s: addresses from %(servers)s; to boot: %(boot)s."), "", ""),
    "dhcp-proxy": (NOTE, N_("%(interface)s: %(servers)s says what to boot, but not to this computer."), "",
                   N_("Watch whether a machine that boots comes to the sightings.")),
    "dhcp-several": (W, N_("%(interface)s: several servers give out addresses (%(servers)s)."),
                     N_("Who is quicker wins: machines boot now from the one, now from the other."),
                     N_("Switch all but one off, or split their ranges on purpose.")),
    "dhcp-no-addresses": (W, N_("%(interface)s: nobody gives out addresses."), _FIND,
                          N_("Start your DHCP server, or use `manage.py dhcp-config dnsmasq`.")),
    "dhcp-no-boot": (W, N_("%(interface)s: no DHCP server says what to boot."), _FIND, _LINES),
    "dhcp-no-boot-yet": (NOTE, N_("%(interface)s: no DHCP server says what to boot."), "", _LINES),
    "dhcp-two-boots": (W, N_("%(interface)s: several servers say what to boot (%(boot)s)."),
                       N_("A machine follows one of them by chance: it may install what another program wants."),
                       N_("Keep one of them.")),
    "dhcp-boots-us": (OK, N_("%(interface)s: iPXE is sent to Dodai."), "", ""),
    "dhcp-boots-others": (W, N_("%(interface)s: iPXE is sent to %(found)s, not to %(ours)s."), _FIND, _LINES),
    "dhcp-boots-others-yet": (NOTE, N_("%(interface)s: iPXE is sent to %(found)s, not to %(ours)s."), "", _LINES),
    "bmcs-beside": (W, P_("%(count)s BMC is in the network of the machines, %(network)s (%(names)s).",
                      "%(count)s BMCs are in the network of the machines, %(network)s (%(names)s)."),
                    N_("Whoever breaks into one server reaches the power of all."),
                    N_("Give BMCs a network of their own that machines cannot reach.")),
    "bmcs-silent": (W, P_("%(count)s BMC does not answer (%(names)s).",
                      "%(count)s BMCs do not answer (%(names)s)."), N_("Nothing can be installed there."),
                    N_("Test them from the page of the machine.")),
    "bmcs-untested": (NOTE, P_("%(count)s BMC was never tested.",
                      "%(count)s BMCs were never tested."), "",
                      N_("Press Test BMC on the page of the machine.")),
    "bmcs-dangerous": (E, P_("%(count)s BMC is open to others (%(names)s).",
                      "%(count)s BMCs are open to others (%(names)s)."),
                       N_("Anybody in their network can switch and take over the machines."),
                       N_("Do what the test on the page of the machine says.")),
    "bmcs-weak": (W, P_("%(count)s BMC is weak (%(names)s).",
                      "%(count)s BMCs are weak (%(names)s)."), N_("They make an attack easier."),
                  N_("Do what the test on the page of the machine says.")),
    "password-none": (E, P_("%(count)s BMC has no password.",
                      "%(count)s BMCs have no password."), N_("Anybody can switch the machines."), _NEW_PASSWORD),
    "password-default": (E, P_("%(count)s BMC has a password that everybody tries first.",
                      "%(count)s BMCs have a password that everybody tries first."),
                         N_("Anybody can switch the machines."), _NEW_PASSWORD),
    "password-short": (W, P_("%(count)s BMC has a password of fewer than 16 letters.",
                      "%(count)s BMCs have a password of fewer than 16 letters."),
                       N_("IPMI gives everybody what is needed to guess it."), _NEW_PASSWORD),
    "password-shared": (W, N_("%(count)s BMCs share their password with others."), N_("Who learns one has them all."),
                        N_("Give each BMC a password of its own.")),
    "debug-on": (E, N_("DODAI_DEBUG is on."), N_("Error pages show settings and data to everybody."),
                 N_("Unset it and start again.")),
    "plain-http": (W, N_("Pages are served at %(url)s without TLS."),
                   N_("Passwords and sessions can be read on their way."),
                   N_("Put a proxy with TLS in front (docs/operations.md), or listen on 127.0.0.1 only.")),
    "ramdisk-built": (OK, N_("The ramdisk %(version)s is built."), "", ""),
    "ramdisk-missing": (E, N_("No ramdisk is built."), N_("Nothing can be inspected or installed."),
                        N_("Run `manage.py ramdisk build --set real`.")),
    "ramdisk-lab-only": (W, N_("Only the ramdisk of practice servers is built."),
                         N_("It has no drivers of real disks and network cards."),
                         N_("Run `manage.py ramdisk build --set real`.")),
    "ramdisk-not-yet": (NOTE, N_("No ramdisk is built yet."), "", N_("Run `manage.py ramdisk build --set real`.")),
    "lab-ready": (OK, N_("Practice servers have all they need."), "", ""),
    "lab-needs": (NOTE, N_("Practice servers need Debian packages: %(packages)s."), "", N_("Install them with apt.")),
}  # fmt: skip
ORDER = list(Level)


@dataclass(frozen=True)
class Sentence:
    level: Level
    what: str
    why: str
    todo: str

    @property
    def label(self) -> str:
        return {
            Level.ERROR: _("Must be put right"), Level.WARNING: _("Warning"), Level.INFO: _("Note"),
            Level.OK: _("Well"),
        }[self.level]  # fmt: skip


def sentences(findings: Iterable[Mapping[str, Any]]) -> list[Sentence]:
    """Stored findings in the reader's language, worst first."""
    found = [_sentence(item) for item in findings if item.get("code") in WORDS]
    return sorted(found, key=lambda sentence: ORDER.index(sentence.level))


def has_errors(findings: Iterable[Mapping[str, Any]]) -> bool:
    return any(WORDS[item["code"]][0] == Level.ERROR for item in findings if item.get("code") in WORDS)


def _sentence(item: Mapping[str, Any]) -> Sentence:
    level, *texts = WORDS[item["code"]]
    values = dict(item.get("values") or {})
    if "problem" in values:
        values["words"] = reach.Problem(values["problem"], values["values"]).words
    what, why, todo = (say(text, values) for text in texts)
    return Sentence(level, what, why, todo)
