"""Rules in the decode loop, with scripted logits: what is forced, redrawn, banned and ended."""

from typing import Any, cast

import mlx.core as mx
import pytest
from decode.scripted import END_THINK, EOS, THINK, VOCAB, FakeTokenizer, Scripted, reply, says
from decode.scripted import steering as make_steering

from mlx_magistral.decode.rules.answer_now import AnswerNow
from mlx_magistral.decode.rules.budget import ThinkBudget, thinking_room
from mlx_magistral.decode.rules.logits_processors import Ban, BanControls, Lean, LogitsProcessor
from mlx_magistral.decode.rules.steering import Act, Place, Steering, ThinkTokens, Verdict
from mlx_magistral.events import FinishReason, Limit
from mlx_magistral.text.reasoning import ReasoningParser

TOKENS = ThinkTokens(THINK, END_THINK, (41, 49))
ID_TO_BYTES = FakeTokenizer().id_to_bytes


def budget(ids: int) -> ThinkBudget:
    return ThinkBudget(ids, Limit.THINK_BUDGET, TOKENS, ID_TO_BYTES)


def random_script(seen: list[int]) -> mx.array:
    """Logits that depend on all ids so far."""
    return mx.random.normal((VOCAB,), key=mx.random.key(hash(tuple(seen)) % 2**32))


class Waiting:
    """A rule that must see each id, and changes nothing."""

    must_see_id = True
    processors: tuple[LogitsProcessor, ...] = ()

    def feed(self, token: int, place: Place) -> Verdict | None:
        return None


class Flipping(Waiting):
    """Bans another id after each id; drawn ahead or not, it has to hold for the very next one."""

    def __init__(self, must_see_id: bool) -> None:
        self.must_see_id = must_see_id

    def feed(self, token: int, place: Place) -> Verdict | None:
        self.processors = (Ban((token * 7) % VOCAB), Ban(token))
        return None


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.0, "seed": 3}])
def test_rules_that_do_not_act_change_no_id(options: dict[str, Any]) -> None:
    options["repetition_penalty"] = 1.3
    plain = reply(Scripted(random_script), None, **options)
    for rules in ([], [budget(1000), AnswerNow()], [Waiting()]):
        assert reply(Scripted(random_script), make_steering(list(rules)), **options) == plain


@pytest.mark.parametrize("seed", range(5))
def test_drawing_ahead_gives_the_ids_of_waiting(seed: int) -> None:
    options: dict[str, Any] = {"temperature": 1.0, "seed": seed, "repetition_penalty": 1.3}
    ahead, waiting = (
        reply(Scripted(random_script), make_steering([Flipping(must_see)]), **options)
        for must_see in (False, True)
    )
    assert ahead == waiting
    assert all(first != second for first, second in zip(ahead, ahead[1:], strict=False))


def test_forced_ids_go_through_the_model_once_and_in_place() -> None:
    model = Scripted(says(THINK, *[42] * 20, 44, EOS))
    ids = reply(model, make_steering([budget(5)]), max_tokens=12)
    assert ids == [THINK, *[42] * 5, 41, 49, END_THINK, *[42] * 3]
    # The prompt, then exactly the ids of the reply; the last one needs no pass.
    assert model.seen == [0, *ids[:-1]]
    assert model.passes == [1] * 7 + [3] + [1] * 2


def test_forced_ids_stop_at_max_tokens() -> None:
    model = Scripted(says(THINK, 42))
    assert reply(model, make_steering([budget(3)]), max_tokens=6) == [THINK, 42, 42, 42, 41, 49]


def test_budget_closes_at_a_line_end_shortly_before() -> None:
    model = Scripted(says(THINK, *[42] * 61, 49, 43, 43, EOS))
    ids = reply(model, make_steering([budget(64)]), max_tokens=80)
    assert ids[:62] == [THINK, *[42] * 61]
    assert ids[62:66] == [49, 41, 49, END_THINK]


def test_after_a_forced_close_thinking_is_not_entered_again() -> None:
    def wants_to_think(seen: list[int]) -> mx.array:
        ids = mx.arange(VOCAB)
        return (ids == THINK) * 9.0 + (ids == 45) * 3.0

    steer = make_steering([budget(0 + 2)])
    ids = reply(
        Scripted(
            lambda seen: (
                (mx.arange(VOCAB) == 42) * 9.0 if 1 < len(seen) < 5 else wants_to_think(seen)
            )
        ),
        steer,
        max_tokens=20,
    )
    assert ids[0] == THINK
    assert ids.count(THINK) == 1 and ids[-1] == 45
    assert steer.limit is Limit.THINK_BUDGET


def test_budget_of_nothing_never_opens_a_block() -> None:
    script = lambda seen: (mx.arange(VOCAB) == THINK) * 9.0 + (mx.arange(VOCAB) == 45) * 3.0  # noqa: E731
    assert reply(Scripted(script), make_steering([budget(0)]), max_tokens=4) == [45] * 4


def test_second_block_goes_on_counting() -> None:
    steer = make_steering([budget(6)])
    model = Scripted(says(THINK, 42, 42, 42, 42, END_THINK, 43, THINK, 42, 42, 42, 42, 44))
    ids = reply(model, steer, max_tokens=16)
    assert ids[:8] == [THINK, 42, 42, 42, 42, END_THINK, 43, THINK]
    assert ids[8:13] == [42, 42, 41, 49, END_THINK]


def test_soft_zone_leans_to_a_close_that_is_already_likely() -> None:
    def nearly(seen: list[int]) -> mx.array:
        ids = mx.arange(VOCAB)
        if len(seen) == 1:
            return (ids == THINK) * 9.0
        return (
            (ids == 42) * 5.0 + (ids == END_THINK) * 3.5
            if END_THINK not in seen
            else (ids == EOS) * 9.0
        )

    steer = make_steering([budget(32)])
    ids = reply(Scripted(nearly), steer)
    assert ids == [THINK, *[42] * 28, END_THINK, EOS]  # an eighth before the end, unforced
    assert steer.limit is None


def test_answer_now_closes_at_the_next_id() -> None:
    rule = AnswerNow()
    steer = make_steering([rule])
    steer.feed(THINK)
    steer.feed(42)
    assert steer.forced == ()
    rule.request()
    steer.feed(42)
    assert steer.forced == (41, 49, END_THINK)
    for token in steer.forced:
        steer.feed(token)
    steer.feed(43)
    assert steer.forced == () and not steer.place.is_thinking


def test_a_rule_can_end_the_reply() -> None:
    class Ends(Waiting):
        def feed(self, token: int, place: Place) -> Verdict | None:
            return Verdict(Act.END, Limit.LOOP, FinishReason.LOOP) if token == 44 else None

    steer = make_steering([Ends()])
    assert reply(Scripted(says(42, 43, 44, 45)), steer) == [42, 43, 44]
    assert (steer.ended, steer.limit) == (FinishReason.LOOP, Limit.LOOP)


def test_room_for_the_answer() -> None:
    assert thinking_room(20, TOKENS) is None
    assert thinking_room(100, TOKENS) == 100 - 25 - 2 - 2
    assert thinking_room(40960, TOKENS) == 40960 - 1024 - 2 - 2


def test_processors_are_values() -> None:
    logits = mx.array([[0.0, 1.0, 2.0, 3.0]])
    assert Ban(3)(logits).tolist() == [[0, 1, 2, -float("inf")]]
    assert BanControls(2, (1,))(logits).tolist() == [[-float("inf"), 1, 2, 3]]
    assert Lean(2, within=1.0, by=5.0)(logits).tolist() == [[0, 1, 7, 3]]
    assert Lean(1, within=1.0, by=5.0)(logits).tolist() == logits.tolist()
    assert Ban(3) == Ban(3) != Ban(2)


def test_time_inside_think_blocks_alone_is_counted() -> None:
    clock = iter([0.0, 1.0, 3.0, 10.0, 20.0, 21.0, 25.0])
    parser = ReasoningParser(cast(Any, FakeTokenizer()))
    steer = Steering(parser, TOKENS, clock=lambda: next(clock))
    for token in (42, THINK, 43, END_THINK, 42, THINK, 43):
        steer.feed(token)
    assert steer.reasoning_s == (3 - 1) + (10 - 3) + (25 - 21)
