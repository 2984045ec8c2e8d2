"""Items of earlier replies, for clients that refer to them by id instead of sending them back."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

_MOST_ITEMS = 4096
_MOST_BYTES = 32 * 2**20

Item = dict[str, Any]


class ItemMemory:
    """The latest items by id, in memory alone; the oldest are forgotten first.

    Bounded by ``most_items`` and by ``most_bytes`` of JSON.
    """

    def __init__(self, most_items: int = _MOST_ITEMS, most_bytes: int = _MOST_BYTES) -> None:
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._items: OrderedDict[str, tuple[Item, int]] = OrderedDict()
        self._bytes = 0

    def keep(self, items: Sequence[Item]) -> None:
        """Remember whole items."""
        for item in items:
            size = len(json.dumps(item))
            self._items[item["id"]] = (dict(item), size)
            self._bytes += size
        while self._items and (
            len(self._items) > self._most_items or self._bytes > self._most_bytes
        ):
            _, (_, size) = self._items.popitem(last=False)
            self._bytes -= size

    def find(self, id: Any) -> Item | None:
        """The item of this id; None where it is forgotten or was never here."""
        found = self._items.get(id) if isinstance(id, str) else None
        return None if found is None else found[0]
