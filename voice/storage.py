"""Which folder an address means. Pure."""

from pathlib import Path
from urllib.parse import unquote, urlsplit


def media_folder(url: str) -> Path | None:
    """The local folder that an address names, as a path or file:///path; None for any other kind."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return Path(url) if url and "://" not in url else None
