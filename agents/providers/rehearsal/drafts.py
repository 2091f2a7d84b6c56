"""The specialists' templates: short, structured, filled with the task's own product, audience and tone."""

from collections.abc import Callable

from .brief import Brief, alike, words


def draft_for(kind: str, name: str, brief: Brief) -> str:
    """Return the draft of the template that fits an agent's type, else its name, else the general one."""
    for key, write in _DRAFTS.items():
        if kind == key or any(alike(key, word) for word in words(kind, name)):
            return write(brief)
    return _general(brief)


def _content(brief: Brief) -> str:
    return f"""### Subject lines
1. Meet {brief.product}: made for {brief.audience}
2. {brief.product}, and your day gets easier
3. See what {brief.product} does for you

### Body
Hello,

{brief.product} is here for {brief.audience}. {brief.details}

Have a look today and tell us what you think.

Tone: {brief.tone}."""


def _design(brief: Brief) -> str:
    return f"""### Layout
- Header: {brief.product} with one clear promise
- Body: one column, three short blocks, one image each
- Close: a single button, visible without scrolling

### Look
- Mood: {brief.tone}; pictures that show {brief.audience}
- Two colours and one accent, text contrast of at least 4.5 to 1, readable on a phone"""


def _analytics(brief: Brief) -> str:
    return f"""### What to measure
- Goal: {brief.goal}
- Reach: how many of {brief.audience} see it
- Response: opens, clicks and replies for {brief.product}
- Result: orders or sign-ups that follow within seven days

### How
- Tag every link, compare with the last period, test one change at a time"""


def _personalization(brief: Brief) -> str:
    return f"""### Segments of {brief.audience}
- New: explain what {brief.product} is
- Interested: show the one benefit they looked at
- Customers: thank them, and say what comes next

### Variables
- First name, last visit, preferred channel; the tone stays {brief.tone}"""


def _seo(brief: Brief) -> str:
    terms = sorted(words(brief.product, brief.description))[:6]
    return f"""### Title and description
- Title: {brief.product} for {brief.audience}
- Description: What {brief.product} offers {brief.audience}, in one page.

### Keywords
{chr(10).join(f"- {term}" for term in terms) or "- (the task names none)"}

### Page
- One topic a page, headings that answer questions, descriptive links"""


def _general(brief: Brief) -> str:
    asked = brief.subtask.get("description") or brief.description or "the task"
    return f"""### Draft
Asked: {asked}
For: {brief.audience}, about {brief.product}, in a tone that is {brief.tone}.

### Points
- What is known: {brief.details or "the task gives no further context."}
- Next step: have a person confirm the open questions"""


_DRAFTS: dict[str, Callable[[Brief], str]] = {
    "seo": _seo,
    "personalization": _personalization,
    "analytics": _analytics,
    "design": _design,
    "content": _content,
}
