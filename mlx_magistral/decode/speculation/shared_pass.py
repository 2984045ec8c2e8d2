"""SharedPass: what each reply of a batch puts into the next pass, known to all who draft for it.

What a row more costs depends on how many there are, and a draft that pays alone may not pay beside
others. Who decides later knows what those before it have decided.
"""

from mlx_magistral.decode.speculation.gate import PassLoad


class SharedPass:
    """The loads of all that decode, by whatever tells them apart."""

    def __init__(self) -> None:
        self._loads: dict[object, PassLoad] = {}

    def begin(self, deciding: set[object]) -> None:
        """Those in ``deciding`` decode, a row each until they say more; others are gone."""
        self._loads = {each: self._loads.get(each, _ONE) for each in deciding}

    def put(self, reply: object, load: PassLoad) -> None:
        """What a reply puts in, in the place of what it said before."""
        self._loads[reply] = load

    def beside(self, reply: object) -> PassLoad:
        """What all others put in."""
        others = [load for each, load in self._loads.items() if each is not reply]
        return PassLoad(sum(load.rows for load in others), sum(load.expected for load in others))


_ONE = PassLoad(1, 1.0)
