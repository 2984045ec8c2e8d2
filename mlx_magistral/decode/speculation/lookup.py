"""PromptLookup: guesses the next ids from where the text has run this way before.

The place of every run of GRAM ids is remembered. One match is followed at a time: while the text
goes on as it did there, it only grows by one. Knows no model and no rules.
"""

from collections.abc import Iterable

# Runs of three ids: in Magistral's thinking two are met again everywhere and mean little.
GRAM = 3
# Matches are measured back to here at most; longer ones are equally sure.
LONGEST_MATCH = 32


class PromptLookup:
    """Feed ids, prompt first; O(1) a followed id, LONGEST_MATCH steps where a match begins.

    ``match`` is how many of the latest ids equal those before the place that is followed, 0 where
    nothing is; ``tokens`` are all ids. Remembers one place a gram, the latest: about 200 bytes an
    id.
    """

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self.tokens: list[int] = []
        self._places: dict[tuple[int, int, int], int] = {}  # gram -> index of the id after it
        self._next = 0  # where the followed match goes on
        self.match = 0
        for token in tokens:
            self._append(token)
        self._find()

    def feed(self, token: int) -> None:
        """Take the next id."""
        is_as_guessed = self.match and self.tokens[self._next] == token
        self._append(token)
        if is_as_guessed:
            self._next += 1
            self.match = min(self.match + 1, LONGEST_MATCH)
        else:
            self._find()

    @property
    def guess(self) -> int | None:
        """The id that followed last time, None where nothing matches."""
        return self.tokens[self._next] if self.match else None

    def propose(self, count: int) -> list[int]:
        """The next ``count`` ids if the text goes on as it did; [] where nothing matches.

        What reaches the end of the text goes on with itself: after "ab ab ab" comes "ab" for ever.
        """
        if not self.match:
            return []
        start, tokens = self._next, self.tokens
        found = tokens[start : start + count]
        period = len(tokens) - start
        while len(found) < count:
            found += found[len(found) - period :][: count - len(found)]
        return found

    def _append(self, token: int) -> None:
        tokens = self.tokens
        # The gram that ends before this id: its place is known only now that an id follows it.
        if len(tokens) >= GRAM:
            self._places[(tokens[-3], tokens[-2], tokens[-1])] = len(tokens)
        tokens.append(token)

    def _find(self) -> None:
        tokens = self.tokens
        self.match = 0
        if len(tokens) < GRAM:
            return
        place = self._places.get((tokens[-3], tokens[-2], tokens[-1]))
        if place is None:
            return
        self._next = place
        length = GRAM
        while (
            length < LONGEST_MATCH
            and place > length
            and tokens[place - 1 - length] == tokens[-1 - length]
        ):
            length += 1
        self.match = length
