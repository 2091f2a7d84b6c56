"""Tie a process to the one that started it: when the parent dies, the kernel signals the child.

Run as a script this is an exec helper, so that nothing of ours stays between parent and program:

    python -I -S tether.py PARENT_PID SIGNAL UID:GID|- PROGRAM [ARGUMENT ...]

Two traps of PR_SET_PDEATHSIG shape it. It fires when the *thread* that started the child ends, not
the process: start tethered programs from the main thread (`argv` insists). And a change of user
clears it: the helper changes the user first and asks for the signal after. Only Linux has it;
elsewhere this is a plain exec, and leftovers are dealt with at the next start.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def argv(
    program: Sequence[str], *, on_death: signal.Signals, account: tuple[int, int] | None = None
) -> list[str]:
    """The command that runs `program` tied to this process (and as another user, when root)."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Start tethered programs from the main thread: the death signal follows threads.")
    user = f"{account[0]}:{account[1]}" if account else "-"
    # -I -S: no site packages, no environment; the helper starts in 15 ms and cannot be steered.
    helper = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
    return [*helper, str(os.getpid()), str(int(on_death)), user, *program]


def die_with(parent: int, on_death: int = signal.SIGKILL) -> None:
    """Ask for `on_death` when `parent` ends; leave at once when it has ended already."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, on_death, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it died before the request was in place
        os._exit(1)


def tie_forks() -> None:
    """From now on children that this process forks (process pools) die with it as well."""
    parent = 0

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with(parent))


def main() -> None:
    parent, on_death, account = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    program = sys.argv[4:]
    if account != "-":
        uid, gid = map(int, account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    die_with(parent, on_death)
    try:
        os.execvp(program[0], program)  # noqa: S606 (an argument list, and no shell, is the point)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
