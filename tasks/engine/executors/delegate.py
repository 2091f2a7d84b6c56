"""A specialist's turn: one subtask, one report."""

from .. import decision, prompts
from ..ports import StepFailed, StepPort, StepResult, StepWork
from ._memories import memories_of
from .structured import ask_for_object, freeze
from .tools import toolbox


async def delegate(work: StepWork, port: StepPort) -> StepResult:
    """Return the specialist's report on its subtask."""
    agent = work.snapshot.agents.get(work.agent_id)
    if agent is None:
        raise StepFailed("unknown_agent", f"The run's snapshot has no agent {work.agent_id}.")
    context = work.frozen
    if context is None:
        results = await port.results() if work.input.get("needs_results") else []
        query = f"{work.input['description']} {work.run_input['description']}"
        memory = await port.recall(query, prompts.MEMORY_LIMIT)
        schema = decision.specialist_schema(work.input.get("output_schema"))
        context = freeze(
            work,
            port,
            agent,
            name="specialist_report",
            schema=schema,
            system=prompts.system_prompt(agent, work.snapshot.network),
            user=prompts.delegate(work, agent, schema, memory, results),
            recalled=[item.id for item in memory],
            tools=agent.tools,
        )
    box = toolbox(work.snapshot, context.get("tools", ()))
    report, reply = await ask_for_object(port, context, box=box)
    report["confidence"] = decision.clamp(report["confidence"])
    if reply.truncated:
        report["truncated"] = True
    return StepResult(report, memories=memories_of(report["suggested_memories"]))
