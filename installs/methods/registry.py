"""Finds the install methods that the setting INSTALL_METHODS names."""

from collections.abc import Iterator, Mapping
from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from installs.methods.base import InstallMethod


class _Methods(Mapping[str, InstallMethod]):
    """Slug -> method, in the order of the setting. Raises ImproperlyConfigured for what is no method."""

    def __getitem__(self, slug: str) -> InstallMethod:
        return _load(tuple(settings.INSTALL_METHODS))[slug]

    def __iter__(self) -> Iterator[str]:
        return iter(_load(tuple(settings.INSTALL_METHODS)))

    def __len__(self) -> int:
        return len(_load(tuple(settings.INSTALL_METHODS)))


METHODS: Mapping[str, InstallMethod] = _Methods()


@cache
def _load(places: tuple[str, ...]) -> dict[str, InstallMethod]:
    found: dict[str, InstallMethod] = {}
    for place in places:
        method = _method(place)
        if method.slug in found:
            raise ImproperlyConfigured(f"INSTALL_METHODS: {place} has the slug {method.slug!r}, as one before it has.")
        found[method.slug] = method
    return found


def _method(place: str) -> InstallMethod:
    try:
        named = import_string(place)
    except ImportError as problem:
        raise ImproperlyConfigured(f"INSTALL_METHODS: {place} cannot be imported ({problem}).") from problem
    if not (isinstance(named, type) and issubclass(named, InstallMethod)):
        raise ImproperlyConfigured(f"INSTALL_METHODS: {place} is no InstallMethod.")
    return named()
