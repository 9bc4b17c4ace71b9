"""The house limits: each is found where it is broken, and nothing else is."""

from tools.house import FILE_LINES, FUNCTION_LINES, complaints


def test_a_tidy_file_is_left_alone() -> None:
    assert list(complaints("a.py", '"""What it does."""\n\nX = 1\n')) == []
    assert list(complaints("__init__.py", "")) == []


def test_each_limit_is_found() -> None:
    body = "    x = 1\n" * FUNCTION_LINES
    long_function = f'"""Job."""\n\n\ndef f():\n{body}'
    assert list(complaints("a.py", long_function)) == [f"a.py:4: f has {FUNCTION_LINES + 1} lines"]
    long_file = '"""Job."""\n' + "X = 1\n" * FILE_LINES
    assert list(complaints("a.py", long_file)) == [
        f"a.py: {FILE_LINES + 1} lines, at most {FILE_LINES}"
    ]
    assert list(complaints("a.py", "X = 1\n")) == ["a.py: no sentence on its job"]
