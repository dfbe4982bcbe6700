"""Disguises that a copier may use, as transformations of source text: the adversary of the benchmark and the tests.

Each takes a text and a random generator and returns a text that parses. They aim to keep what the program does; the
tests run attacked programs of their own to see that they do.
"""

from shared.lab.originality.attacks.catalogue import ATTACKS, HELD_OUT, TUNED_ON, Attack, apply

__all__ = ["ATTACKS", "HELD_OUT", "TUNED_ON", "Attack", "apply"]
