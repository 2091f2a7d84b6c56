"""The flow of a session's config: from the caller through the services and back. Pure.

A flow is one circle: transport → stt → (text stages) → llm → (text stages) → tts → transport. Every service
hands over to exactly one other, so each of them can find its next consumer by itself.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, cast

from voice.config import TRANSPORT, Edge
from voice.config_reading import Findings

STT: Final = "stt"
LLM: Final = "llm"
TTS: Final = "tts"
DEFAULT_FLOW: Final = (
    Edge(TRANSPORT, STT, "audio"),
    Edge(STT, LLM, "text"),
    Edge(LLM, TTS, "text"),
    Edge(TTS, TRANSPORT, "audio"),
)

MOST_EDGES: Final = 20
MOST_NAME: Final = 40  # characters of a service's name
_AT: Final = "/pipeline/flow"
_MEMBERS: Final = ("from", "to", "stream")


def read_flow(findings: Findings, value: Any, services: Collection[str]) -> tuple[Edge, ...]:
    """Read the flow; `services` are those that have a connector. Without a flow there is the default one."""
    if value is None:
        return DEFAULT_FLOW
    items = findings.sequence(value, _AT, most=MOST_EDGES)
    if not items and isinstance(value, Sequence):
        findings.add(_AT, "Must have an arrow from the transport.", "no_start")
    if not items:
        return DEFAULT_FLOW
    edges = [_edge(findings, item, f"{_AT}/{index}", services) for index, item in enumerate(items)]
    if len(value) <= MOST_EDGES and all(edge.source and edge.target for edge in edges):
        _check(findings, edges, services)
    return tuple(edges)


def _edge(findings: Findings, value: Any, at: str, services: Collection[str]) -> Edge:
    members = findings.mapping(value, at, known=_MEMBERS)
    ends = {}
    for name in ("from", "to"):
        ends[name] = service = findings.text(members.get(name), f"{at}/{name}", most=MOST_NAME)
        if not isinstance(members.get(name), str | None):
            continue  # said already
        if not service:
            findings.add(f"{at}/{name}", "Must name a service.", "required")
        elif service not in services and len(service) <= MOST_NAME:
            findings.add(
                f"{at}/{name}", f"There is no service `{service}`; connectors has none.", "unknown_service"
            )
    stream = findings.choice(
        members.get("stream"),
        f"{at}/stream",
        default=_stream(ends["from"], ends["to"]),
        choices=("audio", "text"),
    )
    return Edge(ends["from"], ends["to"], cast(Literal["audio", "text"], stream))


def _stream(source: str, target: str) -> Literal["audio", "text"]:
    """What two services must exchange: the transport's side is audio, everything inside is text."""
    return "audio" if TRANSPORT in (source, target) else "text"


def _check(findings: Findings, edges: Sequence[Edge], services: Collection[str]) -> None:
    """Whether arrows that are right in themselves make the one circle."""
    first: dict[str, int] = {}
    for index, edge in enumerate(edges):
        at = f"{_AT}/{index}"
        if edge.source in first:
            findings.add(
                f"{at}/from", f"`{edge.source}` hands over to `{edges[first[edge.source]].target}` already.",
                "second_consumer",
            )  # fmt: skip
        else:
            first[edge.source] = index
        wanted = _stream(edge.source, edge.target)
        if edge.stream != wanted and {edge.source, edge.target} <= set(services):
            findings.add(
                f"{at}/stream", f"From `{edge.source}` to `{edge.target}` goes {wanted}.", "wrong_stream"
            )
    if TRANSPORT not in first:
        findings.add(
            _AT, "Nothing takes the transport's audio: an arrow from `transport` is missing.", "no_start"
        )
    on_circle = _walk(findings, edges, first, services) if TRANSPORT in first else []
    _check_cycles(findings, edges, first, on_circle)
    if on_circle and on_circle[-1] == TRANSPORT:
        _check_order(findings, edges, first, on_circle[:-1])


def _walk(
    findings: Findings, edges: Sequence[Edge], first: Mapping[str, int], services: Collection[str]
) -> list[str]:
    """The services that audio from the transport passes; the last one is the transport when it comes back."""
    passed: list[str] = []
    index = first[TRANSPORT]
    while True:
        target = edges[index].target
        if target in passed:
            return passed  # a cycle, which is found below
        passed.append(target)
        if target == TRANSPORT:
            return passed
        if target not in first:
            if target in services:  # else it was named already
                findings.add(
                    f"{_AT}/{index}/to", f"`{target}` is a dead end: it hands over to nothing.", "dead_end"
                )
            return passed
        index = first[target]


def _check_cycles(
    findings: Findings, edges: Sequence[Edge], first: Mapping[str, int], on_circle: Sequence[str]
) -> None:
    """Services that only feed each other, and those that nothing from the transport reaches."""
    settled = {TRANSPORT}
    for start in first:
        path: list[str] = []
        service = start
        while service in first and service not in settled and service not in path:
            path.append(service)
            service = edges[first[service]].target
        if service in path:
            circle = path[path.index(service) :]
            findings.add(
                f"{_AT}/{first[circle[-1]]}/to",
                f"{' → '.join([*circle, service])} is a cycle that never reaches the transport.",
                "cycle",
            )
            settled.update(circle)
        elif on_circle[-1:] == [TRANSPORT] and start not in on_circle:
            findings.add(
                f"{_AT}/{first[start]}/from", f"Nothing from the transport reaches `{start}`.", "unreachable"
            )
        settled.update(path)


def _check_order(
    findings: Findings, edges: Sequence[Edge], first: Mapping[str, int], passed: Sequence[str]
) -> None:
    """Audio is made text first, answered in between, and made audio last."""
    places = {name: passed.index(name) if name in passed else None for name in (STT, LLM, TTS)}
    for name, place in places.items():
        if place is None:
            findings.add(_AT, f"`{name}` is not in the flow.", "missing_service")
    if None in places.values():
        return
    if places[STT] != 0:
        at = f"{_AT}/{first[TRANSPORT]}/to"
        findings.add(at, "The transport's audio must go to `stt`; nothing else takes audio.", "wrong_order")
    if places[TTS] != len(passed) - 1:
        at = f"{_AT}/{first[passed[-1]]}/from"
        findings.add(
            at, "Only `tts` may hand over to the transport; nothing else makes audio.", "wrong_order"
        )
