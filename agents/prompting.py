"""How data is put into prompts: as named JSON blocks, quoted, so that it is never read as an instruction."""

import json
import re
from typing import Any

#: Begins the part of a system prompt that says so; rehearsal speaks differently after it.
SPOKEN = "You are speaking with somebody on the telephone."
#: Begins the system prompt of one who translates and does not answer.
INTERPRET = "You interpret for two people on the telephone."

_BLOCK = re.compile(r'<data name="([a-z_]+)">\n(.*?)\n</data>', re.DOTALL)


def data_block(name: str, value: Any) -> str:
    """Return `<data name="…">` with `value` as JSON. `<` is escaped, so no content can close the block."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return f'<data name="{name}">\n{text.replace("<", chr(92) + "u003c")}\n</data>'


def read_blocks(text: str) -> dict[str, Any]:
    """Return the values of all data blocks in `text` by name; the last of a name wins."""
    return {name: json.loads(body) for name, body in _BLOCK.findall(text)}
