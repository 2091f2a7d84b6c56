"""`python -m tests.fakes.caller.export TEXT > speech.ulaw`: raw mu-law of somebody saying it, for SIPp."""

import sys

from .clips import said
from .g711 import SILENCE

if __name__ == "__main__":
    sys.stdout.buffer.write(
        b"".join(said(" ".join(sys.argv[1:]) or "what is your name").frames) + SILENCE * 50
    )
