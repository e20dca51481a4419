"""What is wrong with an answer file, in words. The codes are those of installs/cell."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

_WORDS = {
    "template": gettext_lazy("The template: %(what)s."),
    "template-unsafe": gettext_lazy("The template reaches for what templates may not: %(what)s."),
    "template-bomb": gettext_lazy("The template asks for far too much memory or depth."),
    "template-long": gettext_lazy("The rendered text is longer than %(most)s characters."),
    "too-much": gettext_lazy("It takes far more memory than it may."),
    "preseed-short": gettext_lazy("A line of a preseed file is: owner, question, type, value."),
    "preseed-question": gettext_lazy("%(what)s is no name of a question."),
    "preseed-type": gettext_lazy("%(what)s is no type of a question: string, boolean, select and so on."),
    "preseed-boolean": gettext_lazy("%(question)s must be true or false."),
    "kickstart": gettext_lazy("Kickstart: %(what)s"),
    "kickstart-source": gettext_lazy(
        "Nothing says where the packages are: write url, give the image an ISO, or add inst.repo= to its options."
    ),
    "yaml": gettext_lazy("YAML: %(what)s."),
    "schema": gettext_lazy("%(where)s: %(what)s."),
    "answers-elsewhere": gettext_lazy("%(what)s brings in text that nobody has looked at: put the text itself here."),
    "clear-password": gettext_lazy("A password stands here in clear: give its hash only, as in %(instead)s."),
    "no-hash": gettext_lazy("%(what)s is no hash of a password: make one with `openssl passwd -6`."),
    "other-disk": gettext_lazy(
        "%(what)s names a disk. Only the granted one may be written: write {{ disk.id }}, or leave it out."
    ),
    "iso": gettext_lazy("It cannot be read as an ISO image (%(what)s)."),
    "iso-large": gettext_lazy("It has more than %(most)s files, or they lie too deep."),
    "iso-circle": gettext_lazy("Its folders lead in a circle (%(what)s)."),
    "iso-name": gettext_lazy("It has a file with an impossible name (%(what)s)."),
    "iso-outside": gettext_lazy("A file of it lies outside of it (%(what)s): it is cut off or made to harm."),
}


def words_for(problem: dict[str, Any]) -> str:
    """A sentence for a problem as the cell tells it, with its line where it has one."""
    code, line = problem["code"], problem["line"]
    sentence = str(_WORDS[code]) % problem["values"] if code in _WORDS else code
    return _("Line %(n)d: %(what)s") % {"n": line, "what": sentence} if line else sentence
