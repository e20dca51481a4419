"""What is wrong with an answer file: a code, for which installs/cell_words.py has the sentence."""

from typing import Any


class Problem:
    """`line` counts from 1 in the rendered text (in the template where the code begins with `template`); 0: none."""

    def __init__(self, code: str, *, line: int = 0, **values: Any) -> None:
        self.code, self.line, self.values = code, line, values

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "line": self.line, "values": self.values}
