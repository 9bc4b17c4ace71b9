"""Gets the Temporal program before tests need it, or removes a data folder: for the Makefile."""

import sys

import stack
from settings import Settings
from stack.progress import stderr_line
from stack.temporal_binary import find_or_build


def main() -> int:
    """Without arguments get the program, with ``--destroy`` remove the data folder."""
    settings = Settings()
    if sys.argv[1:] == ["--destroy"]:
        stack.destroy(settings.data_dir)
        stderr_line(f"Removed {settings.data_dir}.")
        return 0
    if settings.temporal_address is None:
        try:
            find_or_build(settings.cache_dir, stderr_line)
        except stack.StackError as error:
            stderr_line(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
