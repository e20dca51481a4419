"""What is done to machines beside installs: handed over, moved to another cluster, released, and that undone."""

from installs.methods.operations.hand_over import HandOver
from installs.methods.operations.move import Move
from installs.methods.operations.release import Release
from installs.methods.operations.undo_release import UndoRelease

__all__ = ["HandOver", "Move", "Release", "UndoRelease"]
