"""Runs a command whose processes end with the process that asked for it, however that one ends.

    python -I -S _supervisor.py PIPE COMMAND...

PIPE is the read end of a pipe whose other end the asking process alone holds, and never writes to: when it reads as
closed, because it was closed or its process is gone (killed by -9 included), the command's process group is killed,
a compiler's children with it. What the command leaves in its group when it ends is killed, too. Ends as the command
does: with its status, or by its signal. A program of its own, since the kernel's parent-death signal does not reach
the children of children; it imports no package, to be there in some 15 ms.
"""

import contextlib
import os
import select
import signal
import sys


def main() -> None:
    """Start the command in a group of its own and wait for its end, or for that of the asking process."""
    pipe, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(pipe, False)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, frame: told.append(number))
    told: list[int] = []
    own = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    try:
        child = os.posix_spawnp(command[0], command, os.environ, setpgroup=0, setsigdef=own)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)
    while not (ended := _has_ended(child)):
        closed = pipe in select.select([pipe, woken], [], [], 1.0)[0]
        if closed or any(number != signal.SIGCHLD for number in told):
            break
    # Before the child is waited for: until then its number, and so its group's, is nobody else's.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if ended and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status) if ended else 1)


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


if __name__ == "__main__":
    main()
