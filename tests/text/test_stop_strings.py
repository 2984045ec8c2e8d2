"""Stop strings cut the answer wherever the pieces of its text fall, and never leak."""

import itertools

import pytest

from mlx_magistral.errors import UsageError
from mlx_magistral.events import ContentDelta, Event, ReasoningDelta, TokenLogprob, ToolCallDelta
from mlx_magistral.text.stop_strings import StopStrings


def passed(stops: StopStrings, pieces: list[str]) -> str:
    events: list[Event] = []
    for piece in pieces:
        events += stops.feed([ContentDelta(piece)])
    if stops.found is None:
        events += stops.flush()
    return "".join(event.text for event in events if isinstance(event, ContentDelta))


def splits(text: str) -> list[list[str]]:
    """Every way to cut a text into pieces."""
    ways = []
    for cuts in itertools.product([False, True], repeat=len(text) - 1):
        pieces = [text[0]]
        for is_cut, letter in zip(cuts, text[1:], strict=True):
            if is_cut:
                pieces.append(letter)
            else:
                pieces[-1] += letter
        ways.append(pieces)
    return ways


@pytest.mark.parametrize(
    ("text", "stops", "expected", "found"),
    [
        ("ab\n\ncd", ("\n\n",), "ab", "\n\n"),
        ("aabaab", ("aab",), "", "aab"),
        ("xaaabz", ("aab",), "xa", "aab"),
        ("abcabd", ("abd", "zz"), "abc", "abd"),
        ("abcde", ("cd", "bcd"), "a", "bcd"),
        ("abcd", ("abce", "x"), "abcd", None),
        ("ab</s>", ("</s>",), "ab", "</s>"),
    ],
)
def test_split_anywhere(
    text: str, stops: tuple[str, ...], expected: str, found: str | None
) -> None:
    for pieces in splits(text):
        each = StopStrings(stops)
        assert passed(each, pieces) == expected, pieces
        assert each.found == found, pieces


def test_nothing_is_shown_before_it_is_known() -> None:
    stops = StopStrings(("END",))
    assert stops.feed([ContentDelta("an E")]) == [ContentDelta("an ")]
    assert stops.feed([ContentDelta("N")]) == []
    assert stops.feed([ContentDelta("T")]) == [
        ContentDelta("E"),
        ContentDelta("N"),
        ContentDelta("T"),
    ]


def test_thinking_and_calls_are_not_searched_and_keep_their_order() -> None:
    stops = StopStrings(("END",))
    call = ToolCallDelta(0, "a", "END", "")
    assert stops.feed([ReasoningDelta("END")]) == [ReasoningDelta("END")]
    assert stops.feed([ContentDelta("E"), call]) == [ContentDelta("E"), call]
    assert stops.feed([ContentDelta("ND"), ReasoningDelta("!")]) == [
        ContentDelta("ND"),
        ReasoningDelta("!"),
    ]
    assert stops.found is None


def test_ids_of_what_is_cut_off_are_not_reported() -> None:
    stops = StopStrings(("cd",))
    first, second, third = (TokenLogprob(n, b"", 0.0) for n in range(3))
    events = stops.feed(
        [ContentDelta("ab", logprobs=(first,)), ContentDelta("xc", logprobs=(second,))]
    )
    events += stops.feed([ContentDelta("d", logprobs=(third,))])
    ids = [
        each.token for event in events if isinstance(event, ContentDelta) for each in event.logprobs
    ]
    assert ids == [0, 1]


@pytest.mark.parametrize("stops", ["text", ("",), (3,)])
def test_bad_stop_strings(stops: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="stop"):
        StopStrings(stops)
