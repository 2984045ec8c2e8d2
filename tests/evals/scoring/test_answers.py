"""What is read from an answer: boxes, numbers and letters, with the traps of each."""

from fractions import Fraction

import pytest

from mlx_magistral.evals.scoring.boxed import last_boxed
from mlx_magistral.evals.scoring.judge import Judges
from mlx_magistral.evals.scoring.letters import stated_letter
from mlx_magistral.evals.scoring.numbers import read_number
from mlx_magistral.evals.scoring.verdict import Outcome
from mlx_magistral.evals.tasks.problem import Kind, Problem


@pytest.mark.parametrize(
    ("answer", "boxed"),
    [
        (r"so \boxed{204}.", "204"),
        (r"\boxed{1} no, \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed {7}", "7"),
        (r"\boxed 7 or so", "7"),
        (r"\boxed{$42$}", "42"),
        (r"\[\boxed{\( x \)}\]", "x"),
        (r"\fbox{9}", "9"),
        (r"\boxed{}", ""),
        ("the answer is 204", None),
        (r"\boxed{1} and then \boxed{2", None),
        (r"\boxedvalue", None),
        ("", None),
    ],
)
def test_the_last_whole_box(answer: str, boxed: str | None) -> None:
    assert last_boxed(answer) == boxed


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("204", 204),
        ("073", 73),
        ("-5", -5),
        (r"1\,234", 1234),
        ("1,234", 1234),
        ("1{,}234", 1234),
        (r"1\ 234", 1234),
        ("12,345,678", 12345678),
        (r"204\text{ cm}", 204),
        (r"\text{204}", 204),
        (r"\mathrm{204}", 204),
        ("204 cm", 204),
        (r"60^\circ", 60),
        (r"60^{\circ}", 60),
        (r"60°", 60),
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\dfrac{3}{4}", Fraction(-3, 4)),
        (r"\frac34", Fraction(3, 4)),
        ("3/4", Fraction(3, 4)),
        ("0.75", Fraction(3, 4)),
        (".5", Fraction(1, 2)),
        ("204.", 204),
        ("204.0", 204),
        ("x = 204", 204),
        (r"n=\text{204}", 204),
        (r"204\%", Fraction(204, 100)),
        ("$204$", 204),
        (r"\left(204\right)", None),
        ("(1,2)", None),
        ("1,23", None),
        ("12 34", None),
        ("2^{10}", None),
        (r"\sqrt{4}", None),
        ("9^{9^{9}}", None),
        ("1/0", None),
        (r"\frac{1}{0}", None),
        ("204 or 205", None),
        ("5x", None),
        ("", None),
        ("9" * 401, None),
        ("1e5", None),
        ("٣", None),
        ("²", None),
    ],
)
def test_numbers_are_read_exactly_or_not_at_all(text: str, number: int | Fraction | None) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("answer", "boxed", "letter"),
    [
        ("Answer: C", None, "C"),
        ("**Answer: C**", None, "C"),
        ("Answer: **(C)**", None, "C"),
        ("The correct answer is (B).", None, "B"),
        ("the answer is $B$", None, "B"),
        ("Answer: A\n\nNo: Answer: D", None, "D"),
        ("The correct option is A because B is wrong.", None, "A"),
        ("", "D", "D"),
        ("", r"\text{D}", "D"),
        ("", r"\textbf{(D)}", "D"),
        ("", "D) 5 m/s", "D"),
        ("", "b", "B"),
        ("", "C. 5 m/s", "C"),
        ("", r"\text{C: 5 m/s}", "C"),
        ("", "a number", None),
        ("It is:\n**C) 5 m/s**", None, "C"),
        ("It follows that\nD.", None, "D"),
        ("Answer: A", "B", "B"),
        ("Answer: E", None, None),
        ("The answer is a number", None, None),
        ("The answer is Apple", None, None),
        ("A cat sat.", None, None),
        ("Answer: 5", None, None),
        ("", "5", None),
        ("The answer is C's", None, None),
    ],
)
def test_the_letter_that_is_stated(answer: str, boxed: str | None, letter: str | None) -> None:
    assert stated_letter(answer, boxed, 4) == letter


def verdict(
    kind: Kind, wanted: str, answer: str | None, **fields: object
) -> tuple[Outcome, object]:
    problem = Problem("p", "?", wanted, kind, **fields)  # type: ignore[arg-type]
    found = Judges([]).judge(problem, problem.posed(0), answer)
    return found.outcome, found.vote


def test_what_cannot_be_read_counts_as_wrong_and_is_told_apart() -> None:
    assert verdict(Kind.NUMBER, "204", r"\boxed{0204}") == (Outcome.RIGHT, "204")
    assert verdict(Kind.NUMBER, "204", r"\boxed{205}") == (Outcome.WRONG, "205")
    assert verdict(Kind.NUMBER, "204", r"\boxed{204\%}") == (Outcome.WRONG, "51/25")
    assert verdict(Kind.NUMBER, "204", "It is 204.") == (Outcome.UNPARSED, None)
    assert verdict(Kind.NUMBER, "204", r"\boxed{two}") == (Outcome.UNPARSED, None)
    assert verdict(Kind.NUMBER, "204", None) == (Outcome.UNPARSED, None)
    assert verdict(Kind.TEXT, "3, 5, 9", r"\boxed{3,5,9}") == (Outcome.RIGHT, "3,5,9")
    assert verdict(Kind.TEXT, "3, 5, 9", r"\boxed{9,5,3}") == (Outcome.WRONG, "9,5,3")


def test_a_vote_for_a_choice_is_for_its_text_in_whatever_order_it_was_shown() -> None:
    choices = ("right", "one", "two", "three")
    problem = Problem("p", "?", "A", Kind.CHOICE, choices=choices, shuffles=True)
    letters, votes = set(), set()
    for sample in range(12):
        posed = problem.posed(sample)
        shown = posed.text.splitlines()[2 + ord(posed.answer) - ord("A")]
        assert shown == f"{posed.answer}) right"
        found = Judges([]).judge(problem, posed, f"Answer: {posed.answer}")
        letters.add(posed.answer)
        votes.add(found.vote)
        assert found.is_right
        assert problem.posed(sample) == posed
    assert len(letters) > 1 and votes == {"A"}
