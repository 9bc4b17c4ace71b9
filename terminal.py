"""How the command line speaks: one answer on standard output, everything else on standard error.

Errors that people can do something about become a sentence and an exit code.
"""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError

from client import ClientError
from domain.errors import StockwrightError
from importer.meter import Bars, Lines, Meter
from importer.rows import SalesFileError
from stack import StackError

FAILED, USAGE, UNAVAILABLE, BAD_INPUT, INTERRUPTED = 1, 2, 3, 4, 130


def tell(as_json: bool, document: dict[str, Any], said: str | Table | Callable[[], None]) -> None:
    """The one answer of a command, for programs or for people."""
    if as_json:
        typer.echo(json.dumps(document, default=str))
    elif callable(said):
        said()
    elif isinstance(said, str):
        typer.echo(said)
    else:
        console().print(said)


def console() -> Console:
    """Standard output; tables are not squeezed where no terminal tells its width."""
    return Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)


@contextmanager
def meter() -> Iterator[Meter]:
    """Bars on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        with Bars(Console(stderr=True)) as bars:
            yield bars
    else:
        yield Lines()


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends a long command as Ctrl-C does, so that what it started is stopped."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def answering(as_json: bool) -> Iterator[None]:
    """Turn every error that people can do something about into a sentence and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        _fail(as_json, INTERRUPTED, "interrupted", "Interrupted; start it again to go on.")
    except typer.BadParameter as error:
        _fail(as_json, USAGE, "usage", str(error))
    except (SalesFileError, StockwrightError) as error:
        _fail(as_json, BAD_INPUT, error.code, str(error))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        _fail(as_json, BAD_INPUT, "settings_invalid", f"A setting is wrong: {wrong}.")
    except ClientError as error:
        away = error.passing or error.status >= 500
        _fail(as_json, UNAVAILABLE if away else BAD_INPUT, error.code, str(error))
    except StackError as error:
        _fail(as_json, UNAVAILABLE, "unavailable", str(error))
    except OperationalError:
        text = "The database does not answer. Is everything up? `stockwright up` starts it."
        _fail(as_json, UNAVAILABLE, "unavailable", text)


def _fail(as_json: bool, code: int, name: str, message: str) -> NoReturn:
    typer.echo(message, err=True)
    if as_json:
        typer.echo(json.dumps({"error": {"code": name, "message": message}}))
    raise typer.Exit(code)
