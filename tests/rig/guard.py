"""Becomes a server that ends when the one who started it ends.

Run as `python -I -S guard.py PARENT SIGNAL USER COMMAND...`. A program of its own, and not Popen's `preexec_fn`: that
would fork this process with gRPC's threads inside it, which can hang. USER may be empty; only root can give one.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, number: int, user: str, *command: str) -> None:
    """Drop privileges, ask the kernel to be told of the parent's end, and become the command."""
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":  # After setuid, which clears it. Elsewhere the rig's own clean-up has to do.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.Signals(number))
        if os.getppid() != parent:
            sys.exit("the rig ended while this server was starting")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
