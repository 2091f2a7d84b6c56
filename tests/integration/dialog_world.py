"""Dialogs for tests: an appointment by telephone, and a call that answers without a telephone."""

from collections.abc import Mapping
from typing import Any

from tasks import dialogs
from tasks.dialogs import CallerSaid, DialogState
from tests.integration.engine_world import EngineWorld
from tests.integration.workflow_world import graph, version
from workflows.services import publish


def node(type_: str, **config: Any) -> dict[str, Any]:
    return {"type": type_, "config": config}


def choice(value: str, keys: str = "", *phrases: str) -> dict[str, Any]:
    return {
        "value": value,
        **({"keys": keys} if keys else {}),
        **({"phrases": list(phrases)} if phrases else {}),
    }


def appointment() -> dict[str, Any]:
    """Six nodes and more that speak; an order's number, or a day and a name, and then the agent or a person."""
    return graph(
        "start-welcome",
        "welcome-topic",
        "topic-which",
        "which-day?nodes.topic.output.choice == 'appointment'",
        "which-order?nodes.topic.output.choice == 'order'",
        "which-person",
        "day-name",
        "name-sure",
        "sure-agreed",
        "agreed-booked?nodes.sure.output.choice == 'yes'",
        "agreed-sorry",
        "booked-agent",
        "sorry-agent",
        "agent-end",
        "order-found",
        "found-agent2",
        "agent2-end",
        "person-end",
        welcome=node("say", text="Welcome to the practice."),
        topic=node(
            "ask",
            text="Is it about an appointment or an order?",
            choices=[
                choice("appointment", "1", "appointment", "see the doctor"),
                choice("order", "2", "order", "parcel"),
            ],
            attempts=2,
            no_match="That I did not understand.",
            no_input="I cannot hear you.",
            wait_seconds=4,
        ),
        which={"type": "branch"},
        day=node(
            "ask",
            text="Monday or Thursday?",
            choices=[choice("monday", "1"), choice("thursday", "2")],
            writes={"day": "{{ output.choice }}"},
        ),
        name=node("ask", text="What is your name?", writes={"name": "{{ output.text or output.digits }}"}),
        sure=node(
            "ask",
            text="You want to come on {{ context.day }}, is that right?",
            choices=[
                choice("yes", "1", "yes", "right", "that is right"),
                choice("no", "2", "no", "not right"),
            ],
        ),
        agreed={"type": "branch"},
        booked=node("say", text="It is booked for {{ context.day }}."),
        sorry=node("say", text="Then we leave it."),
        agent=node(
            "hand_over",
            to="agent",
            message="Now my colleague.",
            brief="{{ context.name }} comes on {{ context.day }}.",
        ),
        order=node("ask", text="Please key in your order number.", expects="keys", max_digits=4),
        found=node("say", text="Order {{ nodes.order.output.digits }} is on its way."),
        agent2=node("hand_over", to="agent"),
        person=node("hand_over", to="person", target="+15005550099", message="I connect you."),
    )


def published(engine: EngineWorld, body: Mapping[str, Any], name: str = "Appointment") -> str:
    """A published workflow's id."""
    made = version(engine, body, name)
    publish(workflow=made.workflow, number=made.number)
    return made.workflow_id


def begin(engine: EngineWorld, body: Mapping[str, Any], **input: Any) -> DialogState:
    return dialogs.start(project=engine.project, workflow_id=published(engine, body), input=input)


def say(state: DialogState, error: str = "", **output: Any) -> DialogState:
    """Answer the prompt."""
    assert state.prompt is not None, state
    said = CallerSaid(state.prompt.step_id, state.prompt.fence, output, error_code=error)
    return dialogs.answer(run_id=state.run_id, said=said)
