"""The three parts of a mesh task: who does what, one specialist's draft, all drafts as one document."""

from collections.abc import Mapping
from typing import Any

from .brief import NOTICE, Brief, alike, words
from .drafts import draft_for

_MOST = 4  # specialists a task is given to
# Words of a task that call for a kind of work without naming it.
_RELATED = {
    "campaign": "content design analytics personalization",
    "email": "content design personalization analytics",
    "newsletter": "content design personalization",
    "launch": "content design analytics",
    "landing": "content design seo",
    "audience": "personalization",
    "metrics": "analytics",
    "performance": "analytics",
    "ranking": "seo",
    "keyword": "seo",
    "text": "content",
    "image": "design",
}
_PARTS = {
    "content": "Write the copy",
    "design": "Plan layout and visuals",
    "analytics": "Define goals and measurement",
    "personalization": "Plan segments and variants",
    "seo": "Optimise for search",
}


def decide(brief: Brief) -> Mapping[str, Any]:
    """Delegate in the first round; with results at hand, or nobody to delegate to, complete the task."""
    memories = [
        {"type": "context", "content": f"{key.replace('_', ' ')}: {value}"[:300], "confidence": 0.9}
        for key, value in list(brief.facts.items())[:3]
    ]
    if brief.results or not brief.agents:
        why = "All parts are in." if brief.results else "This network has no specialists."
        return {
            "task_complete": True,
            "reasoning": f"{why} {NOTICE}",
            "subtasks": [],
            "then": "synthesize",
            "new_memories": [],
            "result": synthesize(brief),
        }
    chosen = choose(brief)
    names = ", ".join(str(agent.get("name")) for agent in chosen)
    return {
        "task_complete": False,
        "reasoning": f"The task's words match {names}. {NOTICE}",
        "subtasks": [
            {"agent_id": str(agent.get("id")), "description": _objective(agent, brief), "required": False}
            for agent in chosen
        ],
        "then": "synthesize",
        "new_memories": memories,
    }


def choose(brief: Brief) -> list[Mapping[str, Any]]:
    """Return the specialists whose name, type or capabilities share words with the task: 1 to 4, in order."""
    said = words(brief.description, *brief.facts.keys(), *brief.facts.values())
    meant = {word for key, related in _RELATED.items() if _any(key, said) for word in related.split()}

    def score(agent: Mapping[str, Any]) -> int:
        skills = words(agent.get("name"), agent.get("type"), *(agent.get("capabilities") or ()))
        return sum(2 * _any(skill, said) + _any(skill, meant) for skill in skills)

    scores = [score(agent) for agent in brief.agents]
    best = sorted(range(len(scores)), key=lambda index: -scores[index])[:_MOST]
    chosen = [brief.agents[index] for index in sorted(best) if scores[index] > 0]
    return chosen or [brief.agents[0]]


def report(brief: Brief) -> Mapping[str, Any]:
    """Draft one specialist's part, citing the memory it was given."""
    agent = brief.subtask.get("agent")
    agent = agent if isinstance(agent, Mapping) else {}
    name = str(agent.get("name") or "Specialist")
    draft = draft_for(str(agent.get("type") or ""), name, brief)
    if brief.memory:
        cited = [f"- [{item.get('id')}] {str(item.get('content'))[:160]}" for item in brief.memory[:3]]
        draft += "\n\nShared memory used:\n" + "\n".join(cited)
    return {
        "reasoning": f"{name} filled a template with the task's context. {NOTICE}",
        "result": f"{draft}\n\n{NOTICE}",
        "confidence": 0.5,
        "suggested_memories": [
            {
                "type": "decision",
                "content": f"{name} drafted a part of: {brief.description[:200]}",
                "confidence": 0.5,
            }
        ],
    }


def synthesize(brief: Brief) -> Mapping[str, Any]:
    """Put the results together as a document, naming what is missing."""
    title = brief.description.splitlines()[0][:120] if brief.description else "Result"
    sections, by, missing = [f"# {title}"], [], []
    for part in brief.results:
        name = str(part.get("agent_name") or part.get("agent_id") or "A specialist")
        if part.get("result"):
            body = str(part["result"]).replace(NOTICE, "").strip()
            sections.append(f"## {name}\n\n{body}")
            by.append(name)
        else:
            missing.append(name)
    if not by:
        sections += [f"- {key.replace('_', ' ')}: {value}" for key, value in brief.facts.items()]
    explanation = f"Put together from: {', '.join(by) or 'the task alone'}."
    if missing:
        explanation += f" Missing: {', '.join(missing)}."
    return {
        "content": "\n\n".join([*sections, NOTICE]),
        "confidence": 0.5 if not missing else 0.3,
        "explanation": f"{explanation} {NOTICE}",
    }


def _objective(agent: Mapping[str, Any], brief: Brief) -> str:
    part = _PARTS.get(str(agent.get("type")), f"As {agent.get('name')}, do your part")
    return f"{part} for: {brief.description}"


def _any(word: str, among: set[str]) -> bool:
    return any(alike(word, other) for other in among)
