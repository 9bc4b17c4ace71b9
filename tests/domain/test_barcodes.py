"""Barcodes: a GTIN has the right check digit, a code of the house is what it is."""

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.values import Barcode

_BARCODE: TypeAdapter[str] = TypeAdapter(Barcode)


@pytest.mark.parametrize(
    "code",
    [
        *("036000291452", "4006381333931", "00012345600012", "10614141000415"),
        *("96385074", "96385075", "12345", "123456789"),
        *("ABC-1234567890", "400638133393X", "\u0664" * 13),
    ],
)
def test_what_is_a_barcode(code: str) -> None:
    assert _BARCODE.validate_python(code) == code


@pytest.mark.parametrize(
    "code", ["036000291453", "4006381333913", "4006381333937", "10614141000416", "0000000000001"]
)
def test_a_gtin_with_a_slip_of_the_finger(code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _BARCODE.validate_python(code)
    assert [error["type"] for error in refused.value.errors()] == ["check_digit"]
