"""What a prompt asks to be repeated: how often, by the numbers in it, and which words it holds.

Generous on purpose: a number too high only lets a loop run longer. Number words stand for the
highest number that begins with them, so "two hundred" and "zweihundert" both count as 999.
"""

import re
from collections.abc import Callable
from functools import cached_property

# English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian. The short ones
# count as whole words alone, the others also inside of one, as in "fünfundzwanzig".
_WORDS = {
    20: "ten eleven twelve dozen thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    "zehn elf zwölf dutzend dix onze douze treize quatorze quinze seize once doce trece catorce "
    "quince dieci undici dodici tredici quattordici quindici sedici dez doze treze tien twaalf "
    "vijftien dziesięć dwanaście piętnaście десять двенадцать пятнадцать дюжин",
    60: "dozens twenty thirty forty fifty zwanzig dreißig dreissig vierzig fünfzig dutzende vingt "
    "trente quarante cinquante veinte treinta cuarenta cincuenta venti trenta quaranta cinquanta "
    "vinte trinta quarenta twintig dertig veertig vijftig dwadzieścia trzydzie czterdzieści "
    "двадцать тридцать сорок",
    100: "sixty seventy eighty ninety sechzig siebzig achtzig neunzig soixante sesenta setenta "
    "ochenta noventa sessanta settanta ottanta novanta sessenta oitenta zestig zeventig tachtig "
    "negentig pięćdziesiąt шестьдесят семьдесят восемьдесят девяносто пятьдесят 十",
    999: "hundred hundert cent centaine cents cien cientos ciento cento cem centos honderd sto "
    "сто сотня сотни сотен двести триста четыреста пятьсот 百",
    9999: "thousand tausend mille mil miles mila duizend tysiąc тысяч 千 万 萬",
}
_WHOLE_WORD_LENGTH = 5

# "50 rows", "200×", "3-fold", "100回", and "12x12", "40 by 20".
_COUNT = re.compile(r"(\d{1,3}(?:[,.' ]\d{3})+|\d+)[\s×*-]{0,2}(?=[^\W\d_]|×)")
_PRODUCT = re.compile(r"(\d+)\s?(?:x|×|\*|by|mal|par|por|per|на)\s?(\d+)", re.IGNORECASE)
_YEARS = frozenset({*range(1901, 2000), *range(2001, 2100)})


class Asked:
    """The words of the prompt. ``given`` is all that may be quoted, if that is more than them.

    ``schema`` is that of the answer: its lists are asked for too.
    """

    def __init__(
        self, words: str, given: Callable[[], str] | None = None, schema: object = None
    ) -> None:
        self._words = words
        self._schema = schema
        self._given = given or (lambda: words)

    @cached_property
    def count(self) -> int:
        """The highest number of anything that the prompt names; 0 where it names none."""
        numbers = [int(re.sub(r"\D", "", each)) for each in _COUNT.findall(self._words)]
        products = [int(a) * int(b) for a, b in _PRODUCT.findall(self._words)]
        counts = [number for number in numbers if number not in _YEARS]
        return max([*counts, *products, self._spelled(), _least_items(self._schema)])

    def holds(self, block: str) -> bool:
        """Whether the prompt has the block, wherever in it a repeat is said to begin."""
        letters = _letters(block)
        turned = letters * 2
        return any(turned[at : at + len(letters)] in self._quotable for at in range(len(letters)))

    @cached_property
    def _quotable(self) -> str:
        return _letters(self._given())

    def _spelled(self) -> int:
        text = self._words.casefold()
        whole = frozenset(re.findall(r"[^\W\d_]+", text))
        found = [
            bound
            for bound, words in _WORDS.items()
            for word in map(str.casefold, words.split())
            if word in whole or (_is_part(word) and word in text)
        ]
        return max(found, default=0)


def _least_items(schema: object) -> int:
    """The most items that a list of the schema has to have."""
    if isinstance(schema, dict):
        own = schema.get("minItems", 0)
        return max([own if isinstance(own, int) else 0, *map(_least_items, schema.values())])
    return max(map(_least_items, schema), default=0) if isinstance(schema, list) else 0


def _is_part(word: str) -> bool:
    """Chinese and Japanese have no spaces around a word, and no lower case."""
    return len(word) > _WHOLE_WORD_LENGTH or not word.islower()


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
