"""Knows which codes of the public layout are charges or adjustments and never stock."""

from functools import lru_cache

# Code and what it stands for; codes are compared in upper case with single spaces.
CHARGE_CODES = {
    "ADJUST": "Adjustment",
    "AMAZONFEE": "Marketplace fee",
    "B": "Bad debt adjustment",
    "BANK CHARGES": "Bank charges",
    "C2": "Carriage",
    "CRUK": "Charity commission",
    "D": "Discount",
    "DOT": "Postage of the web shop",
    "M": "Manual entry",
    "PADS": "Pads to match all cushions",
    "POST": "Postage",
    "S": "Samples",
}
# Families of codes with a number behind them, such as GIFT_0001_20 or TEST001.
CHARGE_PREFIXES = {
    "ADJUST": "Adjustment",
    "GIFT_": "Gift voucher",
    "TEST": "Test entry",
}


# A file asks for few different codes, hundreds of thousands of times.
@lru_cache(maxsize=16_384)
def charge_name(code: str) -> str | None:
    """What the charge is called, or None when the code is that of an article."""
    plain = normal_code(code)
    if (name := CHARGE_CODES.get(plain)) is not None:
        return name
    for prefix, name in CHARGE_PREFIXES.items():
        if plain.startswith(prefix):
            return name
    return None


@lru_cache(maxsize=16_384)
def normal_code(code: str) -> str:
    """The spelling under which codes are the same: 85123a and 85123A are one article."""
    return " ".join(code.upper().split())
