"""The coordinator's turn: decide who does what, or that the task is done."""

from typing import Any

from .. import decision, prompts
from ..ports import StepPort, StepResult, StepWork
from ._memories import memories_of
from .structured import ask_for_object, freeze
from .tools import toolbox


async def coordinate(work: StepWork, port: StepPort) -> StepResult:
    """Return the coordinator's decision, checked against this network."""
    context = work.frozen
    if context is None:
        agent = work.snapshot.coordinator
        results = await port.results() if work.round > 1 else []
        memory = await port.recall(str(work.run_input["description"]), prompts.MEMORY_LIMIT)
        schema = _schema(work)
        context = freeze(
            work,
            port,
            agent,
            name="coordinator_decision",
            schema=schema,
            system=prompts.system_prompt(agent, work.snapshot.network),
            user=prompts.coordinate(work, schema, memory, results),
            recalled=[item.id for item in memory],
            tools=agent.tools,
        )
    box = toolbox(work.snapshot, context.get("tools", ()))
    specialists = [agent.id for agent in work.snapshot.specialists]

    def check(value: dict[str, Any]) -> list[str]:
        return decision.unpack_schemas(value) + decision.check_decision(value, specialists)

    value, _ = await ask_for_object(port, context, check, box=box)
    if value["task_complete"]:
        value["result"]["confidence"] = decision.clamp(value["result"]["confidence"])
    return StepResult(value, memories=memories_of(value["new_memories"]))


def _schema(work: StepWork) -> dict[str, Any]:
    base = decision.COORDINATOR_DECISION
    result = decision.result_schema(work.run_input.get("output_schema"))
    return {**base, "properties": {**base["properties"], "result": result}}
