"""The Standard Webhooks scheme: secrets `whsec_…`, three headers, a signature over id, time and body."""

import base64
import os
from datetime import UTC, datetime

import orjson
from standardwebhooks import Webhook


def new_secret() -> str:
    """Return a secret of 24 random bytes in the scheme's notation."""
    return "whsec_" + base64.b64encode(os.urandom(24)).decode()


def signed(secret: str, message_id: str, payload: object) -> tuple[bytes, dict[str, str]]:
    """Return the body of a message and its headers. The id is the same for every try: receivers drop repeats."""
    body = orjson.dumps(payload)
    at = datetime.now(UTC)
    return body, {
        "Content-Type": "application/json",
        "User-Agent": "ai-mesh-network",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }
