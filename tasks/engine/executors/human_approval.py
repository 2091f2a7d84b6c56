"""A person is asked; the decision ends the step (tasks.approvals)."""

from ..ports import NewApproval, StepPort
from .node import NodeWork


async def human_approval(work: NodeWork, port: StepPort) -> NewApproval:
    """Say what is asked of whom."""
    config = work.config
    return NewApproval(
        instructions=str(work.filled("instructions", "")),
        data=work.filled("data", work.last_output),
        form_schema=config.get("form_schema", {}),
        approvers=tuple(config.get("approvers", ())),
        deadline_seconds=config.get("deadline_seconds"),
        on_deadline=config.get("on_deadline", ""),
        escalate_to=tuple(config.get("escalate_to", ())),
    )
