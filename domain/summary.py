"""How healthy stock is, in one number."""


def health_score(levels: int, low: int, out: int) -> int:
    """``100 * (levels - low - out) / levels``, rounded down; 100 when there are no levels.

    ``low`` are levels at or below their reorder point that still have something available, ``out``
    those with nothing available. So 100 says that nothing is low or out, and 0 that everything is.
    """
    return 100 if levels == 0 else 100 * (levels - low - out) // levels
