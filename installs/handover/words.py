"""How steps and ends of a hand-over are called on pages."""

from django.utils.translation import gettext_lazy
from django.utils.translation import gettext_noop as _

from installs.handover.outcome import CONNECT, HOSTNAME, KEYS, NETWORK, OWN_KEY, VERIFY, End

ENGLISH = {
    CONNECT: _("Log in, host key checked"),
    HOSTNAME: _("Host name"),
    NETWORK: _("Network"),
    KEYS: _("Keys and accounts of the owner"),
    VERIFY: _("Read back"),
    OWN_KEY: _("Dodai's key removed, and refused since"),
}
STEPS = {name: gettext_lazy(words) for name, words in ENGLISH.items()}
ENDS = {
    End.DONE: gettext_lazy("Handed over"),
    End.UNPREPARED: gettext_lazy("Not prepared for a hand-over"),
    End.SILENT: gettext_lazy("Did not answer"),
    End.WRONG_HOST: gettext_lazy("Another SSH host key"),
    End.REFUSED: gettext_lazy("Did not take Dodai's key"),
    End.FAILED: gettext_lazy("A step failed"),
}
