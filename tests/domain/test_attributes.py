"""Custom attributes: types, limits, and one text for each value."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from domain.attributes import canonical, check_limits, merged, shown, sought
from domain.errors import InvalidInput


def _attribute(type_: str = "text", **fields: Any) -> Any:
    limits: dict[str, Any] = {
        "options": [],
        "minimum": None,
        "maximum": None,
        "max_length": None,
        "pattern": None,
    }
    return SimpleNamespace(**{"key": "a", "type": type_, "required": False, **limits, **fields})


def _codes(refused: InvalidInput) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in refused.errors]


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        ("text", "Straße", "Straße"),
        ("integer", -7, "-7"),
        ("decimal", "1.50", "1.5"),
        ("decimal", "100", "100"),
        ("decimal", "100.000", "100"),
        ("decimal", "-0.00", "0"),
        ("decimal", "99999999999999.999999", "99999999999999.999999"),
        ("boolean", True, "true"),
        ("date", "2028-02-29", "2028-02-29"),
        ("choice", "red", "red"),
    ],
)
def test_one_text_for_each_value(type_: str, value: object, text: str) -> None:
    assert canonical(type_, value) == text
    assert canonical(type_, shown(type_, text)) == text


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("text", ""),
        ("text", "x" * 501),
        ("text", 1),
        ("integer", "1"),
        ("integer", True),
        ("integer", 2**53 + 1),
        ("decimal", 1),
        ("decimal", "1e3"),
        ("decimal", "NaN"),
        ("boolean", "true"),
        ("boolean", 1),
        ("date", "2027-02-29"),
        ("date", "20260101"),
        ("date", "2026-01-01T00:00:00"),
        ("choice", 1),
    ],
)
def test_what_is_not_of_its_type(type_: str, value: object) -> None:
    definition = _attribute(type_, options=["red"])
    with pytest.raises(InvalidInput) as refused:
        merged([definition], {}, {"a": value})
    assert _codes(refused.value) == [("/attributes/a", "attribute_type")]


@pytest.mark.parametrize(
    ("type_", "limits", "fits", "unfit", "code"),
    [
        ("integer", {"minimum": "-3"}, -3, -4, "minimum"),
        ("integer", {"maximum": "10"}, 9, 11, "maximum"),
        ("decimal", {"minimum": "9.5"}, "10", "9.499999", "minimum"),
        ("date", {"maximum": "2026-12-31"}, "2026-12-31", "2027-01-01", "maximum"),
        ("text", {"max_length": 3}, "abc", "abcd", "max_length"),
        ("text", {"pattern": "[A-Z]{2}|x"}, "AB", "ABx", "pattern"),
        ("text", {"pattern": "a.c"}, "abc", "a\nc", "pattern"),
        ("choice", {"options": ["red", "blue"]}, "blue", "green", "option"),
    ],
)
def test_limits(type_: str, limits: dict[str, Any], fits: Any, unfit: Any, code: str) -> None:
    definition = _attribute(type_, **limits)
    assert merged([definition], {}, {"a": fits}) == {"a": canonical(type_, fits)}
    with pytest.raises(InvalidInput) as refused:
        merged([definition], {}, {"a": unfit})
    assert _codes(refused.value) == [("/attributes/a", code)]


def test_every_wrong_value_is_told_at_once() -> None:
    known = [_attribute(required=True), _attribute("integer", key="b")]
    with pytest.raises(InvalidInput) as refused:
        merged(known, {}, {"b": "x", "c/d": 1}, "/variants/3")
    assert _codes(refused.value) == [
        ("/variants/3/attributes/b", "attribute_type"),
        ("/variants/3/attributes/c~1d", "unknown_attribute"),
        ("/variants/3/attributes/a", "required"),
    ]


def test_null_takes_away_what_is_not_required() -> None:
    known = [_attribute(), _attribute(key="b", required=True)]
    assert merged(known, {"a": "x", "b": "y"}, {"a": None}) == {"b": "y"}
    with pytest.raises(InvalidInput) as refused:
        merged(known, {"a": "x", "b": "y"}, {"b": None})
    assert _codes(refused.value) == [("/attributes/b", "required")]


@pytest.mark.parametrize(
    ("type_", "limits", "pointer"),
    [
        ("text", {"minimum": 1}, "/minimum"),
        ("integer", {"pattern": "a"}, "/pattern"),
        ("integer", {"maximum": "1"}, "/maximum"),
        ("date", {"minimum": "soon"}, "/minimum"),
        ("integer", {"minimum": 10, "maximum": 9}, "/minimum"),
        ("choice", {}, "/options"),
        ("choice", {"options": ["a", "a"]}, "/options"),
        ("text", {"options": ["a"]}, "/options"),
        ("text", {"pattern": "("}, "/pattern"),
        ("text", {"pattern": "a)|(b"}, "/pattern"),
        ("text", {"pattern": "(?=a)a"}, "/pattern"),
        ("text", {"pattern": "((a{1000}){1000}){1000}"}, "/pattern"),
    ],
)
def test_limits_that_make_no_sense(type_: str, limits: dict[str, Any], pointer: str) -> None:
    given: dict[str, Any] = {
        "options": [],
        "minimum": None,
        "maximum": None,
        "max_length": None,
        "pattern": None,
    }
    with pytest.raises(InvalidInput) as refused:
        check_limits(type_, given | limits)
    assert _codes(refused.value) == [(pointer, "limit")]


def test_limits_are_kept_in_the_form_of_values() -> None:
    given: dict[str, Any] = {
        "options": [],
        "minimum": "-1.50",
        "maximum": "2",
        "max_length": None,
        "pattern": None,
    }
    limits = check_limits("decimal", given)
    assert (limits["minimum"], limits["maximum"]) == ("-1.5", "2")


def test_no_pattern_takes_longer_than_its_text() -> None:
    """A backtracking matcher would need centuries for this one."""
    before = time.monotonic()
    with pytest.raises(InvalidInput):
        merged([_attribute(pattern="(a*)*(a*)*(a*)*b")], {}, {"a": "a" * 500})
    assert time.monotonic() - before < 1


@pytest.mark.parametrize(
    ("type_", "text", "wanted"),
    [
        ("decimal", "1.50", "1.5"),
        ("integer", "007", "7"),
        ("boolean", "true", "true"),
        ("text", "a:b", "a:b"),
    ],
)
def test_a_filter_compares_with_the_same_text(type_: str, text: str, wanted: str) -> None:
    assert sought(_attribute(type_), text) == wanted


@pytest.mark.parametrize(
    ("type_", "text"), [("integer", "x"), ("boolean", "True"), ("date", "1"), ("text", "")]
)
def test_a_filter_that_is_no_value(type_: str, text: str) -> None:
    with pytest.raises(ValueError, match="It is"):
        sought(_attribute(type_), text)
