"""Checks what no linter does: file and function lengths, and a sentence on each module's job."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES, FUNCTION_LINES = 500, 70
_SKIPPED = {".venv", "build", "node_modules"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources(root: Path) -> Iterator[Path]:
    """Every Python file of the project, without hidden folders and what was installed."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if not any(part in _SKIPPED or part.startswith(".") for part in parts):
            yield path


def complaints(name: str, text: str) -> Iterator[str]:
    """What is wrong with one file."""
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield f"{name}: {lines} lines, at most {FILE_LINES}"
    tree = ast.parse(text)
    if tree.body and not ast.get_docstring(tree):
        yield f"{name}: no sentence on its job"
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines"


def main() -> int:
    """Exit code 1 when there is anything to complain about."""
    found = [
        complaint
        for path in sources(ROOT)
        for complaint in complaints(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    ]
    for complaint in found:
        sys.stderr.write(f"{complaint}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
