r"""Formulas as Unicode: what is simple reads well and means the same, all else stays as written.

That it means the same is another reader's word: latex2sympy reads the LaTeX, SymPy the Unicode.
"""

import random
import re

import pytest

from mlx_magistral.terminal.formulas import as_unicode


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (r"\boxed{85}", "85"),
        (r"37 + 48 = \boxed{\frac{170}{2}}", "37 + 48 = 170/2"),
        (r"\frac{a+b}{c-d}", "(a + b)/(c - d)"),
        (r"\dfrac12 x", "(1/2)x"),
        (r"2\tfrac{1}{2}", "2 1/2"),
        (r"x = \frac{-b \pm \sqrt{b^2-4ac}}{2a}", "x = (-b ± √(b² - 4ac))/(2a)"),
        (r"\sum_{i=1}^{n} i = \frac{n(n+1)}{2}", "∑ᵢ₌₁ⁿ i = n(n + 1)/2"),
        (r"\sqrt{x^2+1} + \sqrt[3]{8} + \sqrt[n]{x}", "√(x² + 1) + ∛8 + ⁿ√x"),
        (r"e^{-x^2/2} x^{y^z} 10^{12} a_{ij} x_n^2 x_{A}", "e^(-x²/2)x^(yᶻ)10¹²aᵢⱼxₙ²x_A"),
        (r"\alpha \le \beta \neq \infty", "α ≤ β ≠ ∞"),
        (r"f: \mathbb{R}^n \to \mathbb{N}", "f: ℝⁿ → ℕ"),
        (r"\int_0^\infty e^{-x}\,dx", "∫₀^∞ e⁻ˣ dx"),
        (r"\lim_{x\to 0}\frac{\sin x}{x} = 1", "lim_(x → 0) (sin x)/x = 1"),
        (r"\left( \frac{1}{n} \right)^2 \left. x \right|_0^1", "(1/n)²x|₀¹"),
        (r"\{ x \in A \mid x > 0, 100\% \}", "{x ∈ A | x > 0, 100%}"),
        (r"5 \text{ apples, } \mathrm{km/h}, 90^\circ", "5 apples, km/h, 90°"),
        (r"1{,}000 + 12,345 \in (1, 2)", "1,000 + 12,345 ∈ (1, 2)"),
        (r"n \equiv 1 \pmod{4}", "n ≡ 1 (mod 4)"),
        (r"3 \times -4 \cdot a \div b", "3 × -4 · a ÷ b"),
        (r"f'(x), f'', \hat{x}, \overline{AB}", "f′(x), f′′, x\u0302, A\u0305B\u0305"),
        (r"\begin{align*} x &= 1 \\ y &= 2 \end{align*}", "x = 1\ny = 2"),
        (r"H_2O", "H₂O"),
    ],
)
def test_simple_ones_are_a_line_of_unicode(source: str, shown: str) -> None:
    assert as_unicode(source) == shown


@pytest.mark.parametrize(
    "source",
    [
        r"\begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}",
        r"\begin{cases} 1 & x>0\\ 0 & y \end{cases}",
        r"\binom{n}{k}",
        r"n \choose k",
        r"\underbrace{a+b}_{n}",
        r"\unknown{x}",
        r"\text{a \emph{b}}",
        r"\frac{1}",
        "x^",
        "}{",
        "",
        "x % y",
    ],
)
def test_all_others_are_none(source: str) -> None:
    assert as_unicode(source) is None


def formula(chance: random.Random, depth: int = 3) -> str:
    """Arithmetic in LaTeX, as models write it."""
    if depth == 0 or chance.random() < 0.2:
        return str(chance.randint(1, 12))
    one, other = formula(chance, depth - 1), formula(chance, depth - 1)
    kind = chance.choice(["sum", "difference", "product", "fraction", "power", "root", "beside"])
    return {
        "sum": f"{one} + {other}",
        "difference": f"{one} - \\left({other}\\right)",
        "product": f"\\left({one}\\right) \\cdot \\left({other}\\right)",
        "fraction": f"\\frac{{{one}}}{{{other} + 20}}",
        "power": f"\\left({one}\\right)^{{{chance.randint(2, 3)}}}",
        "root": f"\\sqrt{{{one} + 30}}",
        "beside": f"\\frac{{{one}}}{{7}}\\left({other}\\right)",
    }[kind]


def test_the_line_has_the_value_of_the_formula() -> None:
    from latex2sympy2_extended import latex2sympy
    from sympy.parsing.sympy_parser import (
        implicit_multiplication,
        parse_expr,
        standard_transformations,
    )

    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
    chance = random.Random(0)
    for _ in range(30):
        source = formula(chance)
        shown = as_unicode(source)
        assert shown is not None, source
        text = re.sub("[⁰¹²³⁴-⁹]+", lambda found: f"**{found[0].translate(digits)}", shown)
        text = re.sub(r"√(\d+)", r"sqrt(\1)", text.replace("√(", "sqrt(")).replace("·", "*")
        value = parse_expr(
            text, transformations=(*standard_transformations, implicit_multiplication)
        )
        expected = complex(latex2sympy(source).evalf())
        assert complex(value.evalf()) == pytest.approx(expected), (source, shown)
