"""Install methods. To add one: write a module here and name its class below."""

from installs.methods.base import InstallMethod
from installs.methods.file_tree import FileTree
from installs.methods.inspect import Inspect

METHODS: dict[str, InstallMethod] = {method.slug: method() for method in (FileTree, Inspect)}
