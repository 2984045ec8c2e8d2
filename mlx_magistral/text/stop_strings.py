"""Stop strings: end the answer where one of them begins, and never show a part of it.

Works on the answer's text as it streams. Text that may be the beginning of a stop string is held
back until it is known, so one that is split across ids is found as well.
"""

from collections.abc import Sequence
from dataclasses import replace

from mlx_magistral.errors import UsageError
from mlx_magistral.events import ContentDelta, Event


class StopStrings:
    """Passes events on and cuts the content; ``found`` is the stop string that ended it."""

    def __init__(self, stops: Sequence[str]) -> None:
        if isinstance(stops, str) or not all(isinstance(stop, str) and stop for stop in stops):
            raise UsageError("stop must be a list of texts that are not empty.")
        self._stops = tuple(stops)
        self._held: list[ContentDelta] = []
        self.found: str | None = None

    def feed(self, events: list[Event]) -> list[Event]:
        """The events without what is held back; nothing after a stop string was found."""
        if not self._stops:
            return events
        passed: list[Event] = []
        for event in events:
            if self.found is not None:
                break
            if isinstance(event, ContentDelta):
                passed += self._on_content(event)
            else:
                # A stop string does not go on behind a tool call or more thinking.
                passed += [*self.flush(), event]
        return passed

    def flush(self) -> list[Event]:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, []
        return list(held)

    def _on_content(self, event: ContentDelta) -> list[Event]:
        self._held.append(event)
        text = "".join(piece.text for piece in self._held)
        places = [(text.find(stop), stop) for stop in self._stops if stop in text]
        if places:
            # The earliest; of two in one place the longer, whatever their order.
            place, self.found = min(places, key=lambda each: (each[0], -len(each[1])))
            passed = self._release(place)
            self._held = []
            return passed
        return self._release(len(text) - max(_overlap(text, stop) for stop in self._stops))

    def _release(self, length: int) -> list[Event]:
        """The first ``length`` characters held; a piece cut in two keeps its ids in front."""
        passed: list[Event] = []
        while self._held and length > 0:
            piece = self._held.pop(0)
            passed.append(replace(piece, text=piece.text[:length]))
            if len(piece.text) > length:
                self._held.insert(0, ContentDelta(piece.text[length:], tokens=0))
            length -= len(piece.text)
        return passed


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of ``text`` that ``stop`` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
