"""The scratch work nano learns to write: digit-serial, so that each line needs one small fact.

Every routine first copies its operands verbatim (a wrong copy is the commonest mistake of a small
model), then consumes them a column at a time, so that the next digit is always at the end of what is
left. Lines are separated by newlines and hold no spaces: fewer ids, still readable by a person.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """The scratch text and the value it ends in."""

    text: str
    value: int


def addition(a: int, b: int) -> Work:
    """345+67 -> `345+67`, `345+067|5+7=12|2`, `34+06|4+6+1=11|12`, `3+0|3+0+1=4|412`."""
    return Work("\n".join([f"{a}+{b}", *_addition_lines(a, b)]), a + b)


def subtraction(a: int, b: int) -> Work:
    """Compare first, so that the larger is on top; then columns with a borrow of ten."""
    width = max(len(str(a)), len(str(b)))
    left, right = str(a).zfill(width), str(b).zfill(width)
    lines = [f"{a}-{b}", *_first_difference(left, right)]
    if a < b:
        left, right = right, left
    borrow, result = 0, ""
    while left:
        x, y = int(left[-1]), int(right[-1])
        column = x - y - borrow
        step = f"{x}-{y}{'-1' if borrow else ''}={column}"
        borrow = int(column < 0)
        if borrow:
            column += 10
            step += f"+10={column}"
        result = f"{column}{result}"
        lines.append(f"{left}-{right}|{step}|{result}")
        left, right = left[:-1], right[:-1]
    if result != str(abs(a - b)) or a < b:
        lines.append(f"={a - b}")
    return Work("\n".join(lines), a - b)


def product(a: int, b: int) -> Work:
    """One line a digit for each digit of the shorter factor, then the addition of the two rows."""
    lines = [f"{a}*{b}"]
    if len(str(a)) < len(str(b)):
        a, b = b, a
    digits = str(b)
    lines += _row_lines(a, int(digits[-1]))
    if len(digits) == 1:
        return Work("\n".join(lines), a * b)
    low, high = a * int(digits[-1]), a * int(digits[0]) * 10
    lines += _row_lines(a, int(digits[0]))
    lines += [f"{low}+{high}", *_addition_lines(low, high)]
    return Work("\n".join(lines), a * b)


def chain(first: int, steps: list[tuple[str, int]]) -> Work:
    """Several operations, each with its own scratch work, the value carried on from line to line."""
    value, texts = first, []
    for operator, operand in steps:
        work = OPERATIONS[operator](value, operand)
        texts.append(work.text)
        value = work.value
    return Work("\n".join(texts), value)


def comparison(a: int, b: int, *, wants_larger: bool) -> Work:
    """Padded, digit against digit to the first difference; each line starts with the wanted sign.

    345 or 367, the larger -> `345,367`, `>345,367|3:3=`, `>45,67|4:6<`, `367`.
    """
    width = max(len(str(a)), len(str(b)))
    left, right = str(a).zfill(width), str(b).zfill(width)
    value = max(a, b) if wants_larger else min(a, b)
    verdict = "equal" if a == b else str(value)
    wanted = ">" if wants_larger else "<"
    steps = [f"{wanted}{line}" for line in _first_difference(left, right)]
    return Work("\n".join([f"{a},{b}", *steps, verdict]), value)


def sorting(numbers: list[int], *, ascending: bool) -> str:
    """Selection sort with the best so far written down: every step compares two numbers.

    Each line starts with the sign that keeps the best: where another comes, the other number is it.
    45,12,78 -> `45,12,78`, `<45,12,78|45:12>|12:78<|12`, `<45,78|45:78<|45`, `<78|78`.
    """
    rest, lines = list(numbers), [",".join(map(str, numbers))]
    while rest:
        best, steps = rest[0], []
        for number in rest[1:]:
            sign = "=" if number == best else ("<" if best < number else ">")
            steps.append(f"{best}:{number}{sign}")
            is_better = number < best if ascending else number > best
            best = number if is_better else best
        listing = ",".join(map(str, rest))
        lines.append("|".join([f"{'<' if ascending else '>'}{listing}", *steps, str(best)]))
        rest.remove(best)
    return "\n".join(lines)


def counting(word: str, letter: str) -> Work:
    """r:berry -> `b:r0|erry`, `e:r0|rry`, `r:r1|ry`, `r:r2|y`, `y:r2|`: pair, count so far, rest."""
    lines, count = [f"{letter}:{word}"], 0
    for position, character in enumerate(word):
        count += int(character == letter)
        lines.append(f"{character}:{letter}{count}|{word[position + 1 :]}")
    return Work("\n".join(lines), count)


OPERATIONS = {"+": addition, "-": subtraction, "*": product}


def _first_difference(left: str, right: str) -> list[str]:
    """345 and 367 -> `345,367|3:3=`, `45,67|4:6<`; the sign last, when both digits are at hand."""
    lines = []
    while left:
        x, y = left[0], right[0]
        sign = "=" if x == y else ("<" if x < y else ">")
        lines.append(f"{left},{right}|{x}:{y}{sign}")
        if x != y:
            break
        left, right = left[1:], right[1:]
    return lines


def _addition_lines(a: int, b: int) -> list[str]:
    width = max(len(str(a)), len(str(b)))
    left, right = str(a).zfill(width), str(b).zfill(width)
    carry, result, lines = 0, "", []
    while left:
        column = int(left[-1]) + int(right[-1]) + carry
        step = f"{left[-1]}+{right[-1]}{'+1' if carry else ''}={column}"
        carry = column // 10
        # The last column keeps its carry: 9+4=13 ends the sum as 13.
        result = f"{column if len(left) == 1 else column % 10}{result}"
        lines.append(f"{left}+{right}|{step}|{result}")
        left, right = left[:-1], right[:-1]
    return lines


def _row_lines(a: int, digit: int) -> list[str]:
    left, carry, result, lines = str(a), 0, "", []
    while left:
        partial = int(left[-1]) * digit
        column = partial + carry
        step = f"{left[-1]}*{digit}={partial}" + (f"+{carry}={column}" if carry else "")
        carry = column // 10
        result = f"{column if len(left) == 1 else column % 10}{result}"
        lines.append(f"{left}*{digit}|{step}|{result}")
        left = left[:-1]
    if str(int(result)) != result:
        lines.append(f"={int(result)}")
    return lines
