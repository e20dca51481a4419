"""Install methods, by their slugs. Which there are is said by the setting INSTALL_METHODS."""

from installs.methods.base import InstallMethod
from installs.methods.registry import METHODS

__all__ = ["METHODS", "InstallMethod"]
