"""Speech over plain HTTP: a request, and an answer whose body is raw audio."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import httpx2

from agents.providers.classify import vendor_errors
from agents.providers.errors import Failure, ProviderError
from agents.providers.http import open_client
from voice.audio import AudioFormat
from voice.pipeline.resample import Resampler

from .refusals import refusal
from .types import Speech

# Ends what no hedge watches: a connection, and the next piece of audio.
TIMEOUT: Final = httpx2.Timeout(10.0, connect=5.0, read=10.0)
STAYS_OPEN: Final = 20.0  # seconds that a connection may be counted on
_NO_AUDIO: Final = ("text/", "application/json", "application/xml")


class HttpVoice:
    """The HTTP client of one service and key, and the one way its answers are read."""

    def __init__(self, service: str, secret: str) -> None:
        self._service = service
        self._secret = secret
        self._client = open_client()
        self._warm_until = 0.0  # on the loop's clock
        self._errors = partial(vendor_errors, service, "", secret=secret)

    async def speak(
        self, url: str, headers: Mapping[str, str], content: bytes, source: AudioFormat, target: AudioFormat
    ) -> AsyncGenerator[Speech, None]:
        """POST and yield the audio of the answer, converted. Raises `ProviderError` and nothing else."""
        with self._errors(otherwise=Failure.INTERNAL):
            request = self._client.build_request(
                "POST", url, headers=headers, content=content, timeout=TIMEOUT
            )
        with self._errors():
            response = await self._client.send(request, stream=True)
        try:
            with self._errors():
                await self._check(response)
            resampler = Resampler(source, target)
            spoken = False
            with self._errors(in_stream=True):
                async for piece in response.aiter_raw():
                    if audio := resampler.push(piece):
                        spoken = True
                        yield Speech(audio, connector=self._service)
            if audio := resampler.flush():
                yield Speech(audio, connector=self._service)
            if not spoken:
                raise self._error(Failure.MALFORMED, "an answer without audio")
        finally:
            await response.aclose()
            self._warm_until = asyncio.get_running_loop().time() + STAYS_OPEN

    async def connect(self, url: str) -> None:
        """Open a connection for the next request, if there is none. Raises nothing."""
        now = asyncio.get_running_loop().time()
        if now < self._warm_until:
            return
        self._warm_until = now + STAYS_OPEN
        with suppress(httpx2.HTTPError):  # the request itself will tell
            await self._client.options(url, timeout=TIMEOUT)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _check(self, response: httpx2.Response) -> None:
        if response.status_code >= 300:
            body = await response.aread()
            raise refusal(self._service, response.status_code, response.headers, body, (self._secret,))
        kind = response.headers.get("content-type", "")
        if kind.startswith(_NO_AUDIO):
            raise self._error(Failure.MALFORMED, f"answered {kind} instead of audio")

    def _error(self, category: Failure, message: str) -> ProviderError:
        return ProviderError(category, f"{self._service}: {message}", provider=self._service)
