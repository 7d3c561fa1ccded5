"""How the keys of a PySlowFast config are described, and what becomes of each.

The tables of keys_data.py, keys_model.py and keys_running.py are made of these; the translation and
docs/from_pyslowfast.md both read them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Key(NamedTuple):
    """A key of the original's config.

    Attributes:
      kind: "copied" to `field`; "computed" by translate.py or networks.py; "unneeded", so that any
        value is accepted; "fixed", so that only `accepted` values are.
      here: what stands in its place in this program, or why it needs none; in Markdown.
      default: its value in the original's slowfast/config/defaults.py. Unneeded keys have None.
      field: the field of our config that gets its value ("data.root").
      accepted: the values with which a fixed key has no effect here.
    """

    kind: str
    here: str
    default: Any = None
    field: str = ""
    accepted: tuple[Any, ...] = ()


Keys = dict[str, Key]  # "DATA.MEAN" -> Key


def copied(section: str, fields: Mapping[str, tuple[str, Any]]) -> Keys:
    """Keys whose value is that of a field here: name -> (field, default)."""
    return {
        _name(section, name): Key("copied", f"`{field}`", default, field)
        for name, (field, default) in fields.items()
    }


def computed(section: str, here: str, defaults: Mapping[str, Any]) -> Keys:
    """Keys that fields here are computed from: name -> default."""
    return {_name(section, name): Key("computed", here, value) for name, value in defaults.items()}


def unneeded(section: str, names: str, here: str) -> Keys:
    """Keys whose value makes no difference here; `names` are separated by blanks."""
    return {_name(section, name): Key("unneeded", here) for name in names.split()}


def fixed(section: str, here: str, defaults: Mapping[str, Any], *accepted: Any) -> Keys:
    """Keys for which only the default and the `accepted` values work here: name -> default."""
    return {
        _name(section, name): Key("fixed", here, value, accepted=(value, *accepted))
        for name, value in defaults.items()
    }


def _name(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name
