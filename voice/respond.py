"""`POST /v1/respond`: one answer of the agent that would answer a caller, without a call."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from voice.agent import make_responder
from voice.agent_desk import NetworkDesk
from voice.agent_ports import CallContext
from voice.config import SessionConfig
from voice.pipeline.ports import ReplyAction, ReplyDone, ReplyText, ToolUsed, TurnRequest, Utterance
from voice.standalone import Standalone

FLUSH_SECONDS: Final = 2.0  # the ledger is written before the answer is given, unless the database is away


@dataclass(slots=True)
class Answer:
    """What was answered, by whom, on what ground, how fast and for how much. `actions` are what the agent
    would do to the line: transfer, hang_up, send_digits. Latencies in milliseconds."""

    reply: str = ""
    citations: tuple[str, ...] = ()
    actions: list[dict[str, Any]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    model: str = ""
    provider: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    first_token_ms: float | None = None
    total_ms: float = 0.0


async def respond(
    parts: Standalone,
    *,
    project_id: str,
    config: SessionConfig,
    utterance: str,
    history: Sequence[Utterance] = (),
    worker: str = "",
) -> Answer:
    """Answer what somebody said. Raises `ProviderError` when no model can.

    Tasks that the agent starts go on; their results are not waited for.
    """
    responder = make_responder(
        call=CallContext(project_id, config.network_id, worker=worker),
        config=lambda: config,
        gateway=parts.models,
        writer=parts.writer,
        desk=NetworkDesk(),
    )
    answer, words = Answer(), []
    started = time.monotonic()
    stream = responder.respond(TurnRequest(len(history), utterance, tuple(history)))
    try:
        async for piece in stream:
            match piece:
                case ReplyText():
                    if answer.first_token_ms is None:
                        answer.first_token_ms = _since(started)
                    words.append(piece.text)
                case ReplyAction():
                    answer.actions.append({"name": piece.name, **piece.arguments})
                case ToolUsed():
                    answer.tools.append(piece.name)
                case ReplyDone():
                    answer.model, answer.provider, answer.cost = piece.model, piece.provider, piece.cost
                    answer.input_tokens, answer.output_tokens = piece.input_tokens, piece.output_tokens
                    answer.citations = piece.citations
    finally:
        await stream.aclose()
        await responder.aclose()
        await parts.writer.flush(FLUSH_SECONDS)
    answer.reply = "".join(words).strip()
    answer.total_ms = _since(started)
    return answer


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
