"""What the providers with an SDK share: one call, whole or streamed, read by the vendor's `Reader`."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Protocol

from agents.resilience.ports import Credential

from .classify import vendor_errors
from .errors import Failure
from .types import Capabilities, Chunk, Done, ModelRequest


class Reader(Protocol):
    """Turns one reply into chunks. Values of the wrong type raise `TypeError` and the like: malformed."""

    def whole(self, answer: Any) -> Iterator[Chunk]:
        """Read a whole reply, `Done` included."""
        ...

    def opened(self, events: Any) -> None:
        """Look at the head of a streamed reply."""
        ...

    def event(self, event: Any) -> Iterator[Chunk]:
        """Read one event of a streamed reply."""
        ...

    def done(self) -> Done:
        """Return the last chunk, or raise `ProviderError` if the reply was not finished."""
        ...


# Sends the request; the answer is a whole reply, or a context manager of events where streaming was asked.
Ask = Callable[[], Awaitable[Any]]


class SdkProvider(ABC):
    """One account at one vendor. Belongs to the event loop it is first used on: its sockets do."""

    name: str

    def __init__(self, credential: Credential, capabilities: Callable[[str], Capabilities]) -> None:
        self._credential = credential
        self._capabilities = capabilities

    @abstractmethod
    def prepare(self, request: ModelRequest, capabilities: Capabilities) -> tuple[Ask, Reader]:
        """Translate the request."""

    @abstractmethod
    async def aclose(self) -> None:
        """Give back sockets."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Ask the model. Raises `ProviderError`; see `base.Provider`."""
        guard = partial(vendor_errors, self.name, request.model, secret=self._credential.api_key)
        with guard(otherwise=Failure.INTERNAL):
            ask, reader = self.prepare(request, self._capabilities(request.model))
            answering = ask()  # a parameter the SDK does not know is refused here: ours, not the vendor's
        with guard():
            answer = await answering
        if not request.stream:
            with guard():
                chunks = list(reader.whole(answer))
            for chunk in chunks:
                yield chunk
            return
        with guard(in_stream=True):
            async with answer as events:  # closes the socket when the listener stops early
                reader.opened(events)
                async for event in events:
                    for chunk in reader.event(event):
                        yield chunk
            yield reader.done()
