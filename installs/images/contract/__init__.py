"""Looks into an image without mounting it, without root and without running anything of it.

`look_into(path, kind)` returns a `Report`: what docs/image-contract.md asks for, found or missing. Everything read is
hostile until the image was installed by choice: sizes, depths and numbers are capped, links stay inside the tree.
"""

from installs.images.contract.report import Report, look_into
from installs.images.contract.tree import BadImage

__all__ = ["BadImage", "Report", "look_into"]
