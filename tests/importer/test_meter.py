"""How far a command is, told to a terminal and to a log file."""

import io

import pytest
from rich.console import Console

from importer.meter import Bars, Lines


def test_lines_tell_each_stage_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Lines()
    meter.say("Hello")
    meter.begin("Orders", 2)
    meter.step()
    meter.step()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "Hello\nOrders: 2\n"


def test_the_bar_is_gone_from_the_terminal_when_its_stage_is_over() -> None:
    screen = io.StringIO()
    with Bars(Console(file=screen, force_terminal=True, width=100)) as bars:
        bars.begin("Orders", 2)
        bars.step()
        bars.step()
        told = screen.getvalue()
        assert "2/2" in told
        # Shown again: the cursor is given back, so other output is not overwritten.
        assert told.rstrip().endswith("\x1b[?25h")
        bars.say("Done [1]")
    assert "Done [1]" in screen.getvalue()


def test_an_error_within_a_stage_gives_the_terminal_back() -> None:
    screen = io.StringIO()

    def fail() -> None:
        with Bars(Console(file=screen, force_terminal=True, width=100)) as bars:
            bars.begin("Orders", 2)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert screen.getvalue().rstrip().endswith("\x1b[?25h")
