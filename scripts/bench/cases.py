"""Recipes by the names that the quality figures go by.

``plain-4`` is a method and its bits; ``calibrated-4-static`` has the static mix beside, and a
fraction, as in ``calibrated-3.6``, is the average of an automatic mix.
"""

from magistral_convert.recipe import LEAST_BITS, Method, Mix, Recipe


def recipe_of(name: str) -> Recipe:
    """The recipe that a case stands for; raises ValueError for a name that is none."""
    method, _, rest = name.partition("-")
    bits, _, mix = rest.partition("-")
    if "." in bits:
        return Recipe(LEAST_BITS, method=Method(method), mix=Mix.AUTO, bits_per_weight=float(bits))
    return Recipe(int(bits), method=Method(method), mix=Mix(mix or "none"))


def plain_case(name: str) -> str:
    """The plain case in as many bits of codes, with which others are compared."""
    bits = name.split("-")[1]
    return f"plain-{max(4, int(float(bits)))}"
