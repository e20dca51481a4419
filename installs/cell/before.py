"""Commands that an answer file wants run before the installation. They run behind the grant, in Dodai's script."""

import shlex


def script_before(number: int, interpreter: str, script: str, *, must_succeed: bool) -> str:
    """Shell that writes a script to a file and runs it."""
    path = f"/tmp/dodai-before.{number}"  # noqa: S108 - the installer's own memory, where nobody else is
    run = f"{shlex.join(shlex.split(interpreter))} {path}"
    return f"printf %s {shlex.quote(script)} >{path}\n{run}{' || before_failed' if must_succeed else ' || true'}\n"
