"""What the keys of an autoinstall document are (Ubuntu's reference of autoinstall), as JSON schema.

Deep keys that Dodai has nothing to do with are left to Ubuntu's own validator; a key it does not know is refused there
too, but only once the machine has started.
"""

from typing import Any


def _closed(**properties: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_COMMANDS = {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}}
_TEXT = {"type": "string"}
_TEXT_OR_NONE = {"type": ["string", "null"]}
_FLAG = {"type": "boolean"}
_OBJECT = {"type": "object"}
_TEXTS = {"type": "array", "items": _TEXT}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["version"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1},
        "interactive-sections": {"type": "array", "maxItems": 0},  # nobody sits there
        "early-commands": _COMMANDS,
        "locale": _TEXT,
        "refresh-installer": _closed(update=_FLAG, channel=_TEXT),
        "keyboard": _closed(layout=_TEXT, variant=_TEXT, toggle=_TEXT_OR_NONE) | {"required": ["layout"]},
        "source": _closed(search_drivers=_FLAG, id=_TEXT),
        "network": _OBJECT,
        "proxy": {"type": ["string", "null"], "format": "uri"},
        "apt": _OBJECT,
        "storage": {
            "type": "object",
            "properties": {
                "layout": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"enum": ["lvm", "direct", "zfs", "hybrid"]}, "match": _OBJECT},
                },
                "config": _list(_OBJECT | {"required": ["type"], "properties": {"match": _OBJECT}}),
                "swap": _OBJECT, "grub": _OBJECT, "version": {"type": "integer"},
            },
            "additionalProperties": False,
        },
        "identity": {
            "type": "object",
            "required": ["username", "hostname", "password"],
            "properties": {"realname": _TEXT, "username": _TEXT, "hostname": _TEXT, "password": _TEXT, "groups": {}},
            "additionalProperties": False,
        },
        "active-directory": _OBJECT,
        "ubuntu-pro": {"type": "object", "properties": {"token": _TEXT}, "additionalProperties": False},
        "ssh": {
            "type": "object",
            "properties": {"install-server": _FLAG, "authorized-keys": _TEXTS, "allow-pw": _FLAG},
            "additionalProperties": False,
        },
        "codecs": {"type": "object", "properties": {"install": _FLAG}},
        "drivers": {"type": "object", "properties": {"install": _FLAG}},
        "oem": {"type": "object", "properties": {"install": {}}},
        "snaps": {
            "type": "array", "items": _closed(name=_TEXT, channel=_TEXT, classic=_FLAG) | {"required": ["name"]},
        },
        "debconf-selections": _TEXT,
        "packages": _TEXTS,
        "kernel": {"type": "object", "properties": {"package": _TEXT, "flavor": _TEXT}, "additionalProperties": False},
        "kernel-crash-dumps": {"type": "object", "properties": {"enabled": {"type": ["boolean", "null"]}}},
        "timezone": _TEXT,
        "updates": {"enum": ["security", "all"]},
        "shutdown": {"enum": ["reboot", "poweroff"]},
        "late-commands": _COMMANDS,
        "error-commands": _COMMANDS,
        "reporting": {"type": "object", "additionalProperties": _OBJECT},
        "user-data": _OBJECT,
        "zdevs": {"type": "array"},
    },
}  # fmt: skip
