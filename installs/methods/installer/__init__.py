"""The distributions' own installers, which read answers instead of asking a person: kickstart, preseed, autoinstall.

family.py has the steps; each method says its kernel's words and its first file. answers.py makes what is read.
"""

from installs.methods.installer.autoinstall import Autoinstall
from installs.methods.installer.kickstart import Kickstart
from installs.methods.installer.preseed import Preseed

__all__ = ["Autoinstall", "Kickstart", "Preseed"]
