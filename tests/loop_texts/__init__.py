"""The loop guard's labelled set: texts that only repeat themselves, and texts that merely look so.

Each stands for a kind, and the guard's two error rates are told by kind.
"""

from loop_texts.arguments import arguments
from loop_texts.code import code
from loop_texts.labelled import LoopText
from loop_texts.lists import lists
from loop_texts.loops import loops
from loop_texts.thinking import thinking

TEXTS: list[LoopText] = [*lists(), *code(), *arguments(), *thinking(), *loops()]
HONEST = [each for each in TEXTS if not each.is_loop]
LOOPS = [each for each in TEXTS if each.is_loop]
