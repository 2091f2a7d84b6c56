"""What an agent wants done with the line, when its words have been heard."""

import asyncio
from typing import Final, Literal

from .ports import NotPossible, ReplyAction
from .setting import Setting
from .turn import Turn

_TRANSFER_SECONDS: Final = 15.0


async def perform(setting: Setting, turn: Turn, action: ReplyAction) -> str:
    """Hang up or transfer; the call then ends. Returns what the agent is to be told if it cannot be done."""
    if action.name == "hang_up":
        setting.end("agent_hung_up")
        return ""
    to = str(action.arguments.get("to", ""))
    mode: Literal["cold", "warm"] = "warm" if action.arguments.get("mode") == "warm" else "cold"
    if why := await transfer(setting, turn.number, to, mode, str(action.arguments.get("summary", ""))):
        return f"The transfer to {to} was not possible: {why}. The caller is still on the line."
    setting.end("transferred")
    return ""


async def transfer(setting: Setting, turn: int, to: str, mode: Literal["cold", "warm"], summary: str) -> str:
    """Hand the caller over to somebody; the call is to be ended then. Returns why it was not possible."""
    try:
        if setting.line is None:
            raise NotPossible("this line cannot be transferred")
        async with asyncio.timeout(_TRANSFER_SECONDS):
            await setting.line.transfer(to, mode=mode, summary=summary)
    except (NotPossible, TimeoutError) as error:
        why = str(error) or "the line did not answer"
        setting.log.event("error", {"turn": turn, "stage": "transfer", "message": why})
        return why
    setting.log.event("call.transferred", {"turn": turn, "to": to, "mode": mode})
    return ""
