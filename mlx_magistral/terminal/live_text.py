"""LiveText: plain text that grows on a terminal, broken between words."""

from collections.abc import Callable

from mlx_magistral.terminal.live import LiveRegion, wrap


class LiveText:
    """Add text, ``draw`` now and then, and ``close`` at the end; then another may begin.

    Whole lines are written for good, each through ``style``; the one being written is live. Empty
    lines at the beginning and at the end are left out.
    """

    def __init__(self, live: LiveRegion, style: Callable[[str], str] = str) -> None:
        self._live = live
        self._style = style
        self._text = ""
        self._is_begun = False

    def __bool__(self) -> bool:
        return self._is_begun

    def add(self, text: str) -> None:
        if not self._is_begun:
            text = text.lstrip("\n")
        self._is_begun = self._is_begun or bool(text)
        self._text += text

    def draw(self) -> None:
        """Write the whole lines for good and draw the one that is being written."""
        body = self._text.rstrip("\n")
        *whole, last = body.split("\n")
        self._text = last + self._text[len(body) :]
        if whole:
            self._live.commit(self._lines("\n".join(whole)))
        self._live.draw(self._lines(last), can_freeze=True)

    def close(self) -> None:
        """Leave the whole text on the screen."""
        if self._is_begun:
            self.draw()
            self._live.commit(self._lines(self._text.rstrip("\n")))
        self._text, self._is_begun = "", False

    def _lines(self, text: str) -> list[str]:
        if not text:
            return []
        return [self._style(line) if line else "" for line in wrap(text, self._live.columns)]
