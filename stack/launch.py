"""Become one supervised child: drop privileges, ask to die with the supervisor, then exec.

Run as a file with `python -I -S`, so it starts in milliseconds and imports nothing of ours:
launch.py PARENT_PID DEATH_SIGNAL USER_OR_DASH PROGRAM [ARGUMENT…]
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
PARENT_GONE = 125
CANNOT_EXEC = 127


def _drop_privileges(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)


def main() -> None:
    """Exec the program, or exit with a message in the service's log."""
    parent, death_signal, user, program = sys.argv[1:5]
    if user != "-":
        _drop_privileges(user)
    if sys.platform == "linux":
        # setuid clears the death signal, hence after it; exec keeps it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(PARENT_GONE)  # The supervisor died before the signal was armed.
    try:
        os.execvp(program, sys.argv[4:])  # noqa: S606  No shell is wanted: the list is exact.
    except OSError as error:
        sys.stderr.write(f"Cannot run {program}: {error}\n")
        sys.exit(CANNOT_EXEC)


if __name__ == "__main__":
    main()
