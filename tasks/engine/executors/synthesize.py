"""The last turn: the coordinator writes the result out of the specialists' reports."""

from .. import decision, prompts
from ..ports import StepPort, StepResult, StepWork
from .structured import ask_for_object, freeze
from .tools import toolbox


async def synthesize(work: StepWork, port: StepPort) -> StepResult:
    """Return the run's result: content, confidence, explanation."""
    context = work.frozen
    if context is None:
        agent = work.snapshot.coordinator
        results = await port.results()
        memory = await port.recall(str(work.run_input["description"]), prompts.MEMORY_LIMIT)
        schema = decision.result_schema(work.run_input.get("output_schema"))
        context = freeze(
            work,
            port,
            agent,
            name="synthesis",
            schema=schema,
            system=prompts.system_prompt(agent, work.snapshot.network),
            user=prompts.synthesize(work, schema, memory, results),
            recalled=[item.id for item in memory],
            tools=agent.tools,
        )
    box = toolbox(work.snapshot, context.get("tools", ()))
    result, reply = await ask_for_object(port, context, box=box)
    result["confidence"] = decision.clamp(result["confidence"])
    if reply.truncated:
        result["truncated"] = True
    return StepResult(result)
