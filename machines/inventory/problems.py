"""What is wrong with a file, by line and column."""

from dataclasses import dataclass

from django.utils.translation import gettext as _


@dataclass(frozen=True, order=True)
class Problem:
    """`line` 0: the file as a whole."""

    line: int
    column: str
    text: str

    def __str__(self) -> str:
        if not self.line:
            return self.text
        if not self.column:
            return _("line %(line)s: %(text)s") % {"line": self.line, "text": self.text}
        values = {"line": self.line, "column": self.column, "text": self.text}
        return _("line %(line)s, column %(column)s: %(text)s") % values


class InventoryProblem(Exception):
    """All that is wrong; nothing was written."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
