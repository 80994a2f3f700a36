"""The way to one service: guarded by a breaker, and with the events of a stream handed on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Any

from penin_core.contracts import HttpProvider
from penin_core.engine.bodies import read_reply
from penin_core.engine.breaker import Breaker
from penin_core.engine.connections import unpacked
from penin_core.engine.events import Objects
from penin_core.engine.pool import Prepared
from penin_core.engine.replies import Redactor, service_message
from penin_core.engine.transport import HttpTransport, Network
from penin_core.errors import (
    PeninError,
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from penin_core.records import Reply

from .refusals import Refusal

#: A service that is silent for so long, or takes so long altogether, has timed out.
IDLE_S, TOTAL_S = 120.0, 600.0


class Upstream(HttpTransport):
    """Sends the calls of one provider, each once; a service that fails is left alone.

    Nothing is tried again here: clients do that, and two that do it multiply.
    """

    def __init__(
        self,
        provider: HttpProvider,
        *,
        transport: Network | None = None,
        private_hosts: Collection[str] = (),
        idle_s: float = IDLE_S,
        total_s: float = TOTAL_S,
    ) -> None:
        super().__init__(
            provider,
            transport=transport,
            private_hosts=private_hosts,
            idle_s=idle_s,
            total_s=total_s,
        )
        self.breaker = Breaker(provider.name, clock=time.monotonic, sleep=asyncio.sleep)

    async def exchange(self, prepared: Prepared) -> Any:
        """Send one call and return the JSON that answers it, without the key.

        Raises:
            Refusal: the service failed so often that it is left alone for now.
            ProviderError: as ``send``.
        """
        with Permit(self.breaker, await self._permit()):
            redactor = self._redactor()
            try:
                status, headers, content = await self._wire.exchange(prepared)
            except PeninError:
                raise
            except Exception as error:
                failure = self._failure(error, redactor)
            else:
                if status == 200:
                    return self._parsed(content, redactor)
                return read_reply(self._provider.name, status, headers, content, redactor).body
            # Raised out here: the context of the original would hold the request and its headers.
            raise failure

    async def told(self, prepared: Prepared) -> Reply:
        """Send one call and return its reply.

        Raises:
            Refusal, ProviderError: as ``exchange``.
        """
        with Permit(self.breaker, await self._permit()):
            return await self.send(prepared)

    async def events(self, prepared: Prepared) -> AsyncGenerator[dict[str, Any], None]:
        """Send one call and yield the events of the stream that answers it.

        Raises:
            Refusal, ProviderError: as ``exchange``; also in the midst of the stream.
        """
        with Permit(self.breaker, await self._permit()):
            async with aclosing(self._heard(prepared)) as events:
                async for event in events:
                    yield event

    async def _permit(self) -> bool:
        if not self.breaker.is_open:
            return False
        if self.breaker.would_wait:
            raise Refusal(
                503,
                "upstream_down",
                f"the service behind this deployment ('{self._provider.name}') does not answer; "
                "it is tried again from time to time",
                retry_after=self.breaker.wait_s,
            )
        return await self.breaker.permit()

    def _parsed(self, content: bytes, redactor: Redactor) -> Any:
        try:
            return redactor.json(content)
        except (ValueError, RecursionError):
            name = self._provider.name
        raise ProviderBadReply(f"provider '{name}' answered 200 with what is not JSON")

    async def _heard(self, prepared: Prepared) -> AsyncGenerator[dict[str, Any], None]:
        redactor = self._redactor()
        try:
            async with (
                asyncio.timeout(self._total_s),
                aclosing(self._raw(prepared, redactor)) as events,
            ):
                async for event in events:
                    yield event
            return
        except PeninError:
            raise
        except ValueError as error:
            failure: ProviderError = self._nonsense(redactor.text(str(error)))
        except Exception as error:
            failure = self._failure(error, redactor)
        # Raised out here: the context of the original would hold the request and its headers.
        raise failure

    async def _raw(
        self, prepared: Prepared, redactor: Redactor
    ) -> AsyncGenerator[dict[str, Any], None]:
        # Not a copy: whoever sends this one sees in it whether it has left.
        prepared.headers = {**prepared.headers, "accept-encoding": "identity"}
        async with self._wire.stream(prepared) as (status, headers, chunks):
            if status != 200 or not headers.get("content-type", "").startswith("text/event-stream"):
                content = unpacked(headers, b"".join([chunk async for chunk in chunks]))
                read_reply(self._provider.name, status, headers, content, redactor)
                raise self._nonsense("it is no stream of events")
            objects = Objects()
            async for chunk in chunks:
                for event in objects.feed(chunk):
                    yield self._checked(redactor.tree(event))
            for event in objects.feed(b""):
                yield self._checked(redactor.tree(event))
            if not objects.done:
                raise self._nonsense("it broke off")

    def _checked(self, event: dict[str, Any]) -> dict[str, Any]:
        if event.get("error"):
            said = service_message(Reply(status=200, body=event))
            raise self._nonsense(f"the service says: {said}")
        return event

    def _nonsense(self, problem: str) -> ProviderBadReply:
        return ProviderBadReply(
            f"the stream of provider '{self._provider.name}' cannot be read: {problem}"
        )

    def _failure(self, error: Exception, redactor: Redactor) -> ProviderError:
        failure = super()._failure(error, redactor)
        if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            failure.status = 504
        elif isinstance(failure, ProviderRefused):
            # No reply refused it: there is no way to the service, whoever asks.
            failure.status = 502
        return failure


class Permit:
    """One call that the breaker let out: on the way back, it learns how that went."""

    __slots__ = ("_breaker", "_probe")

    def __init__(self, breaker: Breaker, probe: bool) -> None:
        self._breaker = breaker
        self._probe = probe

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        if error is None or isinstance(error, ProviderAuthError | ProviderRefused):
            self._breaker.succeeded()
        elif isinstance(error, ProviderUnavailable):
            self._breaker.failed(self._probe, error)
        else:
            self._breaker.passed(self._probe)
