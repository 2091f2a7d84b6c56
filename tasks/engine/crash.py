"""Named places where a process may die, so that tests can make it die exactly there.

`MESH_CRASH=reply_received:3` kills the process with SIGKILL the third time it passes `reply_received`.
"""

import os
import signal

CLAIMED = "claimed"
CALL_JOURNALED = "call_journaled"
REPLY_RECEIVED = "reply_received"
TOOLS_JOURNALED = "tools_journaled"
TOOL_RETURNED = "tool_returned"
FINISH_BEFORE_COMMIT = "finish_before_commit"
FINISH_COMMITTED = "finish_committed"
POINTS = (
    CLAIMED,
    CALL_JOURNALED,
    REPLY_RECEIVED,
    TOOLS_JOURNALED,
    TOOL_RETURNED,
    FINISH_BEFORE_COMMIT,
    FINISH_COMMITTED,
)

_name, _, _count = os.environ.get("MESH_CRASH", "").partition(":")
_left = int(_count or 1)


def point(name: str) -> None:
    """Pass a crash point; returns unless this one was armed and its count is used up."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
