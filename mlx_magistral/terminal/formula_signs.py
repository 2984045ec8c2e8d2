"""The signs of formulas, where they differ from what pylatexenc has, and how they are set."""

_UP = (
    "0123456789+-−=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWβγδθφ",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟᶿᵠ",
)
_DOWN = ("0123456789+-−=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ")
# Powers and indices: what there is of small letters.
SMALL = {"^": dict(zip(*_UP, strict=True)), "_": dict(zip(*_DOWN, strict=True))}
ACCENTS = {
    "hat": "\u0302",
    "tilde": "\u0303",
    "bar": "\u0304",
    "overline": "\u0305",
    "dot": "\u0307",
    "ddot": "\u0308",
    "vec": "\u20d7",
}
BOARD = dict(zip("CEHNPQRZ", "ℂ𝔼ℍℕℙℚℝℤ", strict=True))
ROOTS = {"": "√", "2": "√", "3": "∛", "4": "∜"}
SPACES = {",": " ", ";": " ", ":": " ", " ": " ", "!": "", "quad": "   ", "qquad": "      "}
SIGNS = {
    **{sign: sign for sign in "{}%$#&_"},
    **{"le": "≤", "leq": "≤", "leqslant": "≤", "ge": "≥", "geq": "≥", "geqslant": "≥", "ne": "≠"},
    **{"neq": "≠", "to": "→", "gets": "←", "iff": "⟺", "implies": "⟹", "mid": "∣", "land": "∧"},
    **{"lor": "∨", "lnot": "¬", "dots": "…", "ldots": "…", "cdots": "⋯", "degree": "°"},
    **{"bmod": "mod", "lvert": "|", "rvert": "|", "vert": "|", "prime": "′", "lbrace": "{"},
    **{"rbrace": "}", "colon": ":", "cdot": "·", "div": "÷", "square": "□"},
}
# With a space on both sides.
RELATIONS = frozenset("=<>≤≥≠≈≡∼≃≅∝∈∉∋⊂⊃⊆⊇→←↔⇒⇐⇔⟹⟸⟺↦↪⟶⟵∣≪≫∥⊥⊢⊨")
# Likewise, where there is something before them.
OPERATORS = frozenset("+-−±∓×÷·*∗∘∪∩∧∨⊕⊗∖")
# With a space after them.
LARGE = frozenset("∑∏∫∬∮⋃⋂∴∵")
WORDS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim limsup liminf "
    "max min sup inf det dim ker gcd lcm deg arg mod Pr".split()
)
FRACTIONS = frozenset("frac dfrac tfrac cfrac".split())
# Their text is a text.
PLAIN = frozenset("text textrm textbf textit mbox".split())
# Their text is a formula in another type.
TYPES = frozenset("mathrm mathbf mathit mathsf boldsymbol operatorname boxed".split())
# The sign after them grows, or vanishes if it is a point.
DELIMITERS = frozenset(
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr".split()
)
UNSEEN = frozenset("displaystyle textstyle limits nolimits nonumber notag".split())
# Environments that only set lines under each other.
LINES = frozenset("align align* aligned gather gather* gathered split equation equation*".split())
