"""Putting a call together: its config decides the stages, the speech services and who answers."""

from collections.abc import Awaitable, Callable
from functools import partial

from voice.agent import make_responder
from voice.agent_desk import NetworkDesk
from voice.agent_ports import CallContext, Limits
from voice.audio import AudioFormat
from voice.bus import access
from voice.bus.outside import Outside
from voice.bus.published_log import PublishedLog
from voice.bus.remote_agent import RemoteResponder
from voice.bus.remote_ear import RemoteListener
from voice.bus.remote_text import RemoteStages
from voice.bus.remote_voice import RemoteSpeaker
from voice.config import SessionConfig
from voice.config_parsing import parse
from voice.connectors.base import Listener, Speaker
from voice.dialog_config import expecting
from voice.dialog_guide import RunGuide
from voice.live_configs import LiveConfig, live_config
from voice.models import PhoneCall
from voice.parts import Parts
from voice.pipeline.call import Call
from voice.pipeline.guide import Guide
from voice.pipeline.ports import CallLog, CallSummary, LineControl, Responder, Transport
from voice.recordings import recorder_for
from voice.slots import CallRecord
from voice.speech_options import stt_options, tts_options
from voice.stages_text import make_stages
from voice.watching import WatchedLog, WatchedSpeaker

_desk = NetworkDesk()


class SessionCall:
    """A call that follows its session's config while it runs, and stops to when it is over."""

    def __init__(self, call: Call, following: LiveConfig | None) -> None:
        self._following = following
        self._run = call.run
        self.end = call.end
        # The frame path: no method of ours between the reader and the call.
        self.audio, self.mark, self.digit = call.audio, call.mark, call.digit
        self.network = call.network

    async def run(self) -> CallSummary:
        try:
            return await self._run()
        finally:
            if self._following is not None:
                self._following.close()


async def build_call(
    parts: Parts,
    record: CallRecord,
    transport: Transport,
    *,
    line: LineControl | None = None,
    watch: Callable[[CallLog], CallLog] | None = None,
) -> SessionCall:
    """Make a call that has been let in ready to `run`. `watch` may wrap its log, to see what is written.

    Raises `voice.config_parsing.ConfigInvalid` when its config cannot be used.
    """
    first = parse(record.config, provider=record.transport, network_id=record.network_id)
    following = live_config(record.session_id, first) if record.session_id else None
    config: Callable[[], SessionConfig] = following or (lambda: first)
    log: CallLog = parts.writer.open(record.id, redact=lambda: config().turn.redact)
    if (publisher := access.publisher()) is not None:
        log = PublishedLog(log, publisher, _context(record), lambda: config().turn.redact)
    if watch is not None:
        log = watch(log)
    dialog = first.dialog
    try:
        guide = RunGuide(record, first, dialog, log) if dialog is not None else None
        made = _put_together(parts, record, transport, config, log, line, guide)
        return SessionCall(made, following)
    except Exception as error:
        if following is not None:
            following.close()
        log.ended(CallSummary("failed", 0.0, 0, 0, 0, None, error=f"{type(error).__name__}: {error}"))
        raise


def _put_together(
    parts: Parts,
    record: CallRecord,
    transport: Transport,
    config: Callable[[], SessionConfig],
    log: CallLog,
    line: LineControl | None,
    guide: Guide | None,
) -> Call:
    context = _context(record)
    stages = make_stages(config, call=context, gateway=parts.models, writer=parts.writer)
    limits = Limits()
    responder: Responder = (
        own := make_responder(
            call=context,
            config=config,
            gateway=parts.models,
            writer=parts.writer,
            desk=_desk,
            events=log,
            limits=limits,
        )
    )
    hear: Callable[[SessionConfig], Awaitable[Listener]]
    hear = partial(listen, parts, record.project_id, transport.format)
    hear = partial(_listen_expecting, record.project_id, hear)
    voice: Callable[[SessionConfig], Speaker] = partial(speak, parts, record.project_id, transport.format)
    if parts.stages is not None:
        outside = parts.stages.outside(
            call=context, session=record.session_id, config=config, format=transport.format, log=log
        )
        if outside.has("llm"):
            responder = RemoteResponder(outside, own, stages, limits)
        if outside.has("stt"):
            hear = partial(_listen_outside, outside, hear)
        if outside.has("tts"):
            voice = partial(_speak_outside, outside, voice)
        stages = RemoteStages(stages, outside)
    return Call(
        call_id=record.id,
        config=config,
        transport=transport,
        stt=hear,
        speaker=lambda config: _watched(voice(config), log),
        responder=responder,
        activity=parts.activity,
        log=log,
        line=line,
        text_stages=lambda _: stages,
        guide=guide,
        outbound=record.direction == PhoneCall.Direction.OUTBOUND,
        recorder=recorder_for(
            parts.writer, project_id=record.project_id, call_id=record.id, format=transport.format
        ),
    )


def _context(record: CallRecord) -> CallContext:
    return CallContext(record.project_id, record.network_id, record.id, record.worker)


async def _listen_expecting(
    project_id: str, hear: Callable[[SessionConfig], Awaitable[Listener]], config: SessionConfig
) -> Listener:
    return await hear(await expecting(project_id, config))


async def _listen_outside(
    outside: Outside, own: Callable[[SessionConfig], Awaitable[Listener]], config: SessionConfig
) -> Listener:
    return RemoteListener(outside, partial(own, config))


def _speak_outside(
    outside: Outside, own: Callable[[SessionConfig], Speaker], config: SessionConfig
) -> Speaker:
    return RemoteSpeaker(outside, own(config))


def _watched(speaker: Speaker, log: CallLog) -> Speaker:
    return WatchedSpeaker(speaker, log) if isinstance(log, WatchedLog) else speaker


def listen(parts: Parts, project_id: str, format: AudioFormat, config: SessionConfig) -> Awaitable[Listener]:
    """Open the recogniser that a config names."""
    connector = config.connectors["stt"]
    options = stt_options(connector, config.language)
    return parts.speech.transcription(project_id, connector.names, format, options)


def speak(parts: Parts, project_id: str, format: AudioFormat, config: SessionConfig) -> Speaker:
    """Make the voice that a config names."""
    connector = config.connectors["tts"]
    options = tts_options(connector, config.language)
    return parts.speech.speaker(project_id, connector.names, format, options)
