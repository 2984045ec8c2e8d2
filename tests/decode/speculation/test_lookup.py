"""The look-up against a naive one that searches the whole text."""

import random

from mlx_magistral.decode.speculation.lookup import GRAM, LONGEST_MATCH, PromptLookup


def test_goes_on_as_the_text_did() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 5, 6, 9, 1, 2, 3])
    assert lookup.match == 3
    assert lookup.guess == 4
    assert lookup.propose(3) == [4, 5, 6]
    lookup.feed(4)
    assert (lookup.match, lookup.guess) == (4, 5)
    lookup.feed(8)
    assert (lookup.match, lookup.guess, lookup.propose(4)) == (0, None, [])


def test_a_cycle_goes_on_for_ever() -> None:
    assert PromptLookup([7, 1, 2, 1, 2, 1, 2]).propose(5) == [1, 2, 1, 2, 1]


def test_match_is_where_a_naive_search_finds_one() -> None:
    random.seed(2)
    text: list[int] = []
    lookup = PromptLookup()
    for _ in range(3000):
        token = random.randrange(4)
        lookup.feed(token)
        text.append(token)
        gram = text[-GRAM:]
        ends = [i for i in range(GRAM, len(text)) if text[i - GRAM : i] == gram]
        assert bool(lookup.match) == bool(ends and len(text) >= GRAM)
        if lookup.match:
            place = lookup._next
            length = lookup.match
            assert text[place - length : place] == text[-length:]
            assert GRAM <= length <= LONGEST_MATCH
