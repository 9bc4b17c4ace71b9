"""Turns the bytes of a delimited file into records with their physical line numbers."""

import codecs
import csv
import hashlib
import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from importer.rows import SalesFileError

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1")

MAX_FILE_BYTES = 1 << 30
MAX_FIELD_CHARS = 10_000
# A record over several lines that grows beyond this is a quote nobody closed, not a description.
MAX_RECORD_CHARS = 16_384
# Lines read again after broken quotes, in the whole file: keeps the work linear in its size.
MAX_REREAD_LINES = 1_000_000
_CHUNK = 1 << 20

SalesInput = str | Path | BinaryIO


class Record(NamedTuple):
    """One record: its first physical line, its fields, and a problem code or an empty text."""

    line: int
    fields: list[str]
    problem: str


class ByteFacts(NamedTuple):
    """What one pass over the bytes tells."""

    sha256: str
    size: int
    encoding: str


class SourceBytes:
    """The same bytes, as often as they are needed: a path is reopened, a stream read once."""

    def __init__(self, source: SalesInput) -> None:
        """Take a path, or a binary stream, which is read from where it stands into memory."""
        self._path: Path | None = None
        self._held = b""
        if isinstance(source, str | Path):
            self._path = Path(source)
        else:
            try:
                self._held = source.read(MAX_FILE_BYTES + 1)
            except OSError as error:
                raise SalesFileError("unreadable", f"The file can't be read: {error}") from error

    def open(self) -> BinaryIO:
        """A fresh stream over the bytes; raises SalesFileError when the path can't be opened."""
        if self._path is None:
            return io.BytesIO(self._held)
        try:
            return self._path.open("rb")
        except (OSError, ValueError) as error:
            raise SalesFileError("unreadable", f"The file can't be read: {error}") from error


def survey_bytes(source: SourceBytes, wanted: str | None) -> ByteFacts:
    """Hash the bytes and settle the encoding, which is known to fit all of them afterwards.

    Without `wanted`: a byte-order mark decides; else UTF-8 when every byte fits it, else
    Windows-1252, else Latin-1, which fits anything. Raises SalesFileError for bytes that don't fit
    a given or marked encoding, and for what is too large or has no lines.
    """
    if wanted is not None and wanted not in ENCODINGS:
        known = ", ".join(ENCODINGS)
        raise SalesFileError("option_invalid", f"Unknown encoding {wanted!r}; known: {known}.")
    digest = hashlib.sha256()
    size = 0
    decoders: dict[str, codecs.IncrementalDecoder] = {}
    with source.open() as stream:
        while True:
            try:
                chunk = stream.read(_CHUNK)
            except OSError as error:
                raise SalesFileError("unreadable", f"The file can't be read: {error}") from error
            if not decoders:
                decoders = {
                    name: codecs.getincrementaldecoder(name)("strict")
                    for name in _candidates(chunk[:3], wanted)
                }
            _rule_out(decoders, chunk, size)
            if not chunk:
                break
            _check_size(chunk, size)
            digest.update(chunk)
            size += len(chunk)
    if size == 0:
        raise SalesFileError("file_empty", "The file is empty.")
    return ByteFacts(digest.hexdigest(), size, next(iter(decoders)))


def _candidates(head: bytes, wanted: str | None) -> tuple[str, ...]:
    """The encodings that may be meant, the most telling first."""
    if wanted in {"utf-8", "utf-8-sig"} or (wanted is None and head.startswith(codecs.BOM_UTF8)):
        # This one reads files with and without the mark.
        return ("utf-8-sig",) if head.startswith(codecs.BOM_UTF8) else ("utf-8",)
    if wanted is not None:
        return (wanted,)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    return ("utf-8", "cp1252", "latin-1")


def _rule_out(decoders: dict[str, codecs.IncrementalDecoder], chunk: bytes, offset: int) -> None:
    """Drop each decoder that the chunk doesn't fit; an empty chunk ends the text."""
    for name, decoder in list(decoders.items()):
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            del decoders[name]
            if not decoders:
                raise SalesFileError(
                    "encoding",
                    f"The file is not {name} text (near byte {offset + 1}): {error}",
                ) from error


def _check_size(chunk: bytes, offset: int) -> None:
    """Refuse what would not fit into memory: endless files, endless lines."""
    if offset + len(chunk) > MAX_FILE_BYTES:
        raise SalesFileError(
            "file_too_large", f"The file is larger than {MAX_FILE_BYTES:,} bytes; split it."
        )
    # A line of two chunks always covers one whole chunk, so longer lines can't slip through.
    if len(chunk) == _CHUNK and b"\n" not in chunk and b"\r" not in chunk:
        raise SalesFileError(
            "line_too_long",
            f"A line is longer than {_CHUNK:,} bytes (near byte {offset + 1}): no sales file.",
        )


def physical_lines(source: SourceBytes, encoding: str) -> Iterator[str]:
    """The lines with their endings, be they LF, CRLF or CR."""
    try:
        with (
            source.open() as stream,
            io.TextIOWrapper(stream, encoding=encoding, newline="") as text,
        ):
            yield from text
    except (OSError, UnicodeError) as error:
        # The survey has read all of it, so somebody is writing to the file.
        raise SalesFileError("unreadable", f"The file changed while reading: {error}") from error


class _RunawayQuoteError(Exception):
    """A record grew beyond any description."""


class _Feed:
    """Hands lines to the csv reader and remembers those of the record under way."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._reread = 0
        self.taken: list[str] = []
        self.chars = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        self.chars += len(line)
        if self.chars > MAX_RECORD_CHARS and len(self.taken) > 1:
            raise _RunawayQuoteError
        return line

    def clear(self) -> int:
        """Begin the next record; returns how many lines the last one had."""
        count = len(self.taken)
        self.taken.clear()
        self.chars = 0
        return count

    def retry(self) -> None:
        """Give up on the record's first line and offer its other lines again."""
        self._again.extendleft(reversed(self.taken[1:]))
        self._reread += len(self.taken) - 1
        if self._reread > MAX_REREAD_LINES:
            raise SalesFileError(
                "quotes_broken", "Too many quotes are never closed; is this a delimited text file?"
            )
        self.clear()


def records(lines: Iterator[str], delimiter: str) -> Iterator[Record]:
    """Split lines into records; quoted fields may hold delimiters, doubled quotes and line ends.

    A quote that is never closed costs one line, not the rest of the file: that line comes out as a
    record with a problem and reading goes on with the line below it. A record with a problem
    carries the raw line as its only field.
    """
    feed = _Feed(lines)
    first = 1
    while True:
        try:
            for fields in csv.reader(feed, delimiter=delimiter, strict=True):
                problem = _problem(feed, fields)
                yield Record(first, [feed.taken[0]] if problem else fields, problem)
                first += feed.clear()
        except (csv.Error, _RunawayQuoteError):
            line = feed.taken[0]
            too_long = len(feed.taken) == 1 and len(line) > csv.field_size_limit()
            yield Record(first, [line], "field_too_long" if too_long else "quote_broken")
            feed.retry()
            first += 1
        else:
            return


def _problem(feed: _Feed, fields: list[str]) -> str:
    """What is wrong with the text of a record that could be split."""
    if feed.chars > MAX_FIELD_CHARS and any(len(field) > MAX_FIELD_CHARS for field in fields):
        return "field_too_long"
    if any("\0" in line for line in feed.taken):
        return "nul_byte"
    return ""
