"""What goes wrong when a transport's vendor is asked for something."""


class VendorFailed(Exception):
    """The vendor refused, or could not be reached (`status` 0); the message has its words."""

    def __init__(self, vendor: str, message: str, *, status: int = 0) -> None:
        super().__init__(f"{vendor}: {message}"[:300])
        self.vendor = vendor
        self.status = status
