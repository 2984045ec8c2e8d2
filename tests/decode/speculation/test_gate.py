"""How many ids to guess: by measured costs, alone and beside replies that share the pass."""

from mlx_magistral.decode.speculation.gate import Costs, Draft, PassLoad, best_draft, waiting_pays
from mlx_magistral.decode.speculation.shared_pass import SharedPass

SURE = [0.95] * 7


def test_a_draft_is_as_long_as_its_rows_are_cheap() -> None:
    cheap = best_draft(SURE, Costs({1: 1.0, 8: 1.1}))
    dear = best_draft(SURE, Costs({1: 1.0, 2: 1.4, 8: 8.0}))
    assert cheap.guesses == 7
    assert 0 < dear.guesses < 3
    assert best_draft(SURE, Costs({1: 1.0, 8: 8.0})) == Draft()
    assert best_draft([0.05] * 7, Costs({1: 1.0, 8: 1.5})) == Draft()


def test_beside_others_it_is_the_cost_of_the_rows_after_theirs_that_counts() -> None:
    """Rows are free up to four: alone a draft pays, beside eight replies it does not."""
    costs = Costs({1: 1.0, 4: 1.0, 16: 16.0})
    assert best_draft(SURE, costs).guesses == 3
    assert best_draft(SURE, costs, PassLoad(8, 8.0)) == Draft()
    # And where the others have paid for a wide kernel already, its empty rows are free.
    step = Costs({1: 1.0, 8: 2.0, 9: 4.0, 16: 4.0})
    assert best_draft(SURE, step, PassLoad(8, 8.0)).guesses == 7


def test_one_drafts_for_the_rows_that_another_has_left() -> None:
    shared, costs = SharedPass(), Costs({1: 1.0, 8: 1.0, 16: 16.0})
    first, second, third = object(), object(), object()
    shared.begin({first, second})
    drafts = []
    for each in (first, second):
        draft = best_draft(SURE, costs, shared.beside(each))
        shared.put(each, PassLoad(draft.guesses + 1, draft.expected))
        drafts.append(draft.guesses)
    assert drafts == [6, 0]
    shared.begin({second, third})  # the first is over
    assert shared.beside(third) == PassLoad(1, 1.0)


def test_the_id_in_flight_is_waited_for_where_that_gains_more_than_the_wait() -> None:
    costs = Costs({1: 1.0, 8: 1.7}, wait_s=0.2)
    draft = best_draft(SURE, costs)
    assert waiting_pays(0.9, draft, costs)
    assert not waiting_pays(0.05, draft, costs)
    # What a guess gains at the most that is not sure is less than a long wait.
    short = best_draft([0.6], Costs({1: 1.0, 2: 1.3}))
    assert short.guesses == 1
    assert waiting_pays(0.9, short, Costs({1: 1.0, 2: 1.3}, wait_s=0.0))
    assert not waiting_pays(0.9, short, Costs({1: 1.0, 2: 1.3}, wait_s=0.3))
