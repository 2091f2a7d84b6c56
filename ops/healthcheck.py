"""Exit 0 when an address answers 200: the health check of containers that have no curl.

METRICS_TOKEN is sent along, for `/metrics` of a worker is guarded by it.
"""

import os
import sys
import urllib.request


def main(url: str) -> int:
    request = urllib.request.Request(url)
    if token := os.environ.get("METRICS_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=4) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
