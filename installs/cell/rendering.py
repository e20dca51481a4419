"""Renders a template that an operator wrote: strict, sandboxed, and never longer than it may be."""

import codecs
from typing import Any

import jinja2.debug
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from installs.cell.problems import Problem
from installs.cell.quoting import FILTERS

LONGEST_CHARACTERS = 1 << 20
# Loaded late by Jinja and Python themselves, when this process may open nothing any more.
LOADED_EARLY = (jinja2.debug, codecs.lookup("unicode_escape"))


class NotRendered(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def render(template: str, values: dict[str, Any]) -> str:
    """Raises NotRendered."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )  # text for installers, no HTML
    environment.filters |= FILTERS
    try:
        return _bounded(environment.from_string(template).generate(values))
    except NotRendered:
        raise
    except TemplateSyntaxError as problem:
        raise NotRendered(Problem("template", line=problem.lineno, what=str(problem.message))) from None
    except SecurityError as problem:
        raise NotRendered(Problem("template-unsafe", what=str(problem)[:200])) from None
    except TemplateError as problem:
        raise NotRendered(Problem("template", line=_line(problem), what=str(problem)[:200])) from None
    except (MemoryError, OverflowError, RecursionError):
        raise NotRendered(Problem("template-bomb")) from None
    except Exception as problem:  # noqa: BLE001 - a template may do anything that Python can do to plain values
        words = f"{type(problem).__name__}: {problem}"[:200]
        raise NotRendered(Problem("template", line=_line(problem), what=words)) from None


def _bounded(pieces: Any) -> str:
    kept, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > LONGEST_CHARACTERS:
            raise NotRendered(Problem("template-long", most=LONGEST_CHARACTERS))
        kept.append(piece)
    return "".join(kept)


def _line(problem: BaseException) -> int:
    """Of the template, where Jinja rewrote the traceback to it; 0 where it did not."""
    line, trace = 0, problem.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
