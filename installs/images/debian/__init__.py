"""A real Debian 12 for real servers, built from Debian packages by mmdebstrap, without root.

`build(data, say, told)` returns a `Built`; the packages it fetched stay, so that a second try goes on where one ended.
"""

from installs.images.debian.builder import Built, build
from installs.images.debian.recipe import IMAGE_NAME, MIN_MEMORY_MIB, SWAP_MIB, version

__all__ = ["IMAGE_NAME", "MIN_MEMORY_MIB", "SWAP_MIB", "Built", "build", "version"]
