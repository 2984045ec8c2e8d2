"""LiveAnswer: an answer in Markdown that grows. Finished blocks are written for good, the last one
is drawn anew until it is finished too."""

from mlx_magistral.terminal.live import LiveRegion
from mlx_magistral.terminal.markdown import (
    MarkdownRenderer,
    formulas_as_code,
    is_table,
    split_blocks,
)


class LiveAnswer:
    """Add text, ``draw`` now and then, and ``close`` at the end; then another may begin."""

    def __init__(self, live: LiveRegion, *, has_colour: bool) -> None:
        self._live = live
        self._has_colour = has_colour
        self._text = ""
        self._has_block = False
        self._finished_blocks = 0

    def __bool__(self) -> bool:
        return bool(self._text)

    def add(self, text: str) -> None:
        self._text += text

    def draw(self) -> None:
        """Write the finished blocks for good and draw the one that is being written."""
        finished, rest = split_blocks(formulas_as_code(self._text))
        for block in finished[self._finished_blocks :]:
            self._live.commit(self._rendered(block))
            self._has_block = True
        self._finished_blocks = len(finished)
        self._live.draw(self._rendered(rest), can_freeze=not is_table(rest))

    def close(self) -> None:
        """Leave the whole answer on the screen, an empty line after it."""
        if not self._text:
            return
        self.draw()
        rest = split_blocks(formulas_as_code(self._text))[1]
        self._live.commit([*self._rendered(rest), ""])
        self._text, self._finished_blocks, self._has_block = "", 0, False

    def _rendered(self, block: str) -> list[str]:
        renderer = MarkdownRenderer(self._live.columns, has_colour=self._has_colour)
        lines = renderer.lines(block)
        return ["", *lines] if self._has_block and lines else lines
