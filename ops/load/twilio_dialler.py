"""Place many calls to the service through a Twilio account. Without --really it only says what it would do."""

import argparse
import os
import sys
import time
from collections import Counter
from xml.sax.saxutils import escape, quoteattr

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

OVER = {"completed", "busy", "failed", "no-answer", "canceled"}


def main() -> int:
    options = arguments().parse_args()
    twiml = script(options)
    print(f"{options.calls} calls to {options.to}, {options.per_second:g} a second, each plays:\n  {twiml}")
    if not options.really:
        print("Nothing was dialled. Say --really to place these calls; the account is charged for them.")
        return 0
    sid, token = os.environ.get("TWILIO_ACCOUNT_SID"), os.environ.get("TWILIO_AUTH_TOKEN")
    if not (sid and token and options.caller):
        print("TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and --from are needed.", file=sys.stderr)
        return 2
    client = Client(sid, token)
    placed = dial(client, options, twiml)
    ended = wait(client, placed, options.seconds + 60)
    print(", ".join(f"{count} {status}" for status, count in ended.items()) or "no call was placed")
    return 0 if ended["completed"] == options.calls else 1


def script(options: argparse.Namespace) -> str:
    """What the calling side does once the service has answered."""
    act = f"<Play>{escape(options.play)}</Play>" if options.play else f"<Say>{escape(options.say)}</Say>"
    rounds = "".join(f"<Pause length={quoteattr(str(options.listen))}/>{act}" for _ in range(options.turns))
    return f'<Response>{rounds}<Pause length="{options.listen}"/><Hangup/></Response>'


def dial(client: Client, options: argparse.Namespace, twiml: str) -> list[str]:
    """Place the calls, evenly in time; a refusal is printed and counts as no call."""
    placed: list[str] = []
    began = time.monotonic()
    for number in range(options.calls):
        time.sleep(max(0.0, began + number / options.per_second - time.monotonic()))
        try:
            call = client.calls.create(
                to=options.to, from_=options.caller, twiml=twiml, time_limit=options.seconds
            )
        except TwilioRestException as error:
            print(f"call {number + 1}: {error.status} {error.msg}", file=sys.stderr)
        else:
            placed.append(str(call.sid))
    return placed


def wait(client: Client, placed: list[str], seconds: float) -> Counter[str]:
    """Wait until all are over; count how they ended."""
    ended: dict[str, str] = {}
    deadline = time.monotonic() + seconds
    while len(ended) < len(placed) and time.monotonic() < deadline:
        for sid in placed:
            if sid not in ended and (status := str(client.calls(sid).fetch().status)) in OVER:
                ended[sid] = status
        time.sleep(2)
    return Counter([*ended.values(), *["still running"] * (len(placed) - len(ended))])


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True, help="the service's number")
    parser.add_argument("--from", dest="caller", default=os.environ.get("TWILIO_PHONE_NUMBER", ""))
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--per-second", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=2, help="times that each caller speaks")
    parser.add_argument("--listen", type=int, default=8, help="seconds before each and at the end")
    parser.add_argument("--say", default="What are your opening hours?")
    parser.add_argument("--play", default="", help="address of a recording to play instead")
    parser.add_argument("--seconds", type=int, default=120, help="after which a call is cut off")
    parser.add_argument("--really", action="store_true", help="place the calls")
    return parser


if __name__ == "__main__":
    sys.exit(main())
