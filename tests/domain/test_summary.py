"""The health score: the share of levels that are neither low nor out, rounded down."""

import pytest

from domain.summary import health_score


@pytest.mark.parametrize(
    ("levels", "low", "out", "score"),
    [
        (150, 12, 3, 90),  # The figures of the first specification.
        (0, 0, 0, 100),
        (1, 0, 0, 100),
        (1, 1, 0, 0),
        (1, 0, 1, 0),
        (3, 1, 0, 66),
        (1000, 1, 0, 99),  # Only nothing low and nothing out is 100.
        (1000, 0, 1, 99),
        (1000, 999, 0, 0),
    ],
)
def test_the_score(levels: int, low: int, out: int, score: int) -> None:
    assert health_score(levels, low, out) == score
