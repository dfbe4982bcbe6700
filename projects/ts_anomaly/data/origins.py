"""Rolling origins: a detector is made from what was there, and judged by what came later, again and again.

Between both lies a gap of at least as many points as any score looks back, so that nothing judged was seen in training
through a window that crosses the border. Source: Tashman 2000, "Out-of-sample tests of forecasting accuracy"; for the
gap, Bergmeir and Benítez 2012, §3.
"""

from shared.errors import UserError

ORIGINS = 3
GAP = 640  # points; the patch Transformer looks 535 back, the left profile of a trial 512
FIRST = 0.4  # of the series is there at the first origin


def origins(n: int, count: int = ORIGINS, *, gap: int = GAP, first: float = FIRST) -> list[tuple[int, int, int]]:
    """How many points are known at each origin, where judging begins, and where it stops.

    What is judged is in order, without overlap, and of equal length.

    Raises:
        UserError: If the series is too short for it.

    >>> origins(100, 3, gap=10, first=0.3)
    [(30, 40, 60), (50, 60, 80), (70, 80, 100)]
    """
    known = round(first * n)
    judged = (n - gap - known) // count
    if known < 1 or judged < 1:
        raise UserError(f"{n} points are too few for {count} origins with gaps of {gap}")
    return [(known + at * judged, known + at * judged + gap, known + (at + 1) * judged + gap) for at in range(count)]
