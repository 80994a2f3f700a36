"""The models that may be asked: providers, connections and worker, made when first needed."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from penin_core.chat_completions import ChatCompletionsProvider
from penin_core.contracts import HttpProvider, LocalProvider
from penin_core.engine.books import Books
from penin_core.engine.budget import Budget
from penin_core.engine.replies import capabilities_of, plugin_failure
from penin_core.errors import PeninError, PluginInvalid
from penin_core.ledger.trained import trained_folder
from penin_core.project import Project
from penin_core.records import Configuration

from .billing import Billing
from .following import AGAIN_AFTER_S
from .local import Batches, LocalBackend, NoCache
from .passthrough import PassThrough, passes
from .pieces import Backend
from .translating import Translating
from .upstream import Upstream

logger = logging.getLogger(__name__)

#: Configurations that are tried, and that stay ready to be asked.
MOST_OTHERS = 16


class Models:
    """Finds the backend of a configuration; those of one service share connections and breaker.

    Configurations that are tried have both apart from the champion: what they break must not keep
    it from answering. ``backend`` may be called from any thread, one at a time; backends are used
    on one event loop.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        state, daily_usd = project.state, project.settings.budget.daily_usd
        budget = Budget(state / "budget.db", daily_usd)
        self._billing = Billing(budget)
        self._books = Books(budget, NoCache(state / "cache" / "none.db"), None)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="penin-local")
        self._upstreams: dict[tuple[str, bool], Upstream] = {}
        self._batches: dict[str, Batches] = {}
        #: By the hash of a configuration, and when each was made or failed.
        self._others: dict[str, tuple[Backend | PeninError, float]] = {}
        self._making = threading.Lock()

    def backend(self, config: Configuration, *, tried: bool = False) -> Backend:
        """Return the way to ask with ``config``, which is the champion's or one that is ``tried``.

        Raises:
            PluginError: there is no such provider.
            ProviderError: it does not know the model, its price, or cannot write its requests.
            SettingsError: the provider's base URL is unusable.
        """
        with self._making:
            provider = self._project.provider(config.provider)
            if isinstance(provider, LocalProvider):
                capabilities_of(provider, config.model)
                return LocalBackend(config, self._batched(config.provider, provider))
            if isinstance(provider, HttpProvider):
                return self._remote(config, provider, tried)
        raise PluginInvalid(f"provider '{config.provider}' is of no kind that can be asked")

    async def other(self, config: Configuration) -> Backend | PeninError:
        """Return the way to ask with a configuration that is tried, or why there is none.

        What failed is tried again after a while: what was missing may have come.
        """
        found, since = self._others.get(config.hash, (None, 0.0))
        failed = isinstance(found, PeninError)
        if found is None or (failed and time.monotonic() - since >= AGAIN_AFTER_S):
            try:
                found = await asyncio.to_thread(self.backend, config, tried=True)
            except PeninError as error:
                found = error
            except Exception as error:
                logger.exception("provider '%s' fails", config.provider)
                problem = plugin_failure(error)
                found = PluginInvalid(f"provider '{config.provider}' cannot be asked: {problem}")
            if len(self._others) >= MOST_OTHERS:
                self._others.clear()
            self._others[config.hash] = found, time.monotonic()
        return found

    async def aclose(self) -> None:
        """Close connections and worker; settle what was spent, whatever becomes of the others."""
        async with AsyncExitStack() as parts:
            parts.push_async_callback(self._books.close)
            parts.push_async_callback(self._books.settled)
            parts.push_async_callback(self._billing.aclose)
            parts.callback(self._worker.shutdown, wait=True, cancel_futures=True)
            for upstream in self._upstreams.values():
                parts.push_async_callback(upstream.aclose)

    def _batched(self, name: str, provider: LocalProvider) -> Batches:
        if name not in self._batches:
            self._batches[name] = Batches(
                provider,
                self._books,
                self._worker,
                lambda adapter: trained_folder(self._project.state, adapter),
            )
        return self._batches[name]

    def _remote(self, config: Configuration, provider: HttpProvider, tried: bool) -> Backend:
        name = config.provider
        if (name, tried) not in self._upstreams:
            hosts = self._project.settings.network.private_hosts
            self._upstreams[name, tried] = Upstream(provider, private_hosts=hosts)
        upstream = self._upstreams[name, tried]
        price = self._project.settings.prices.get(f"{name}:{config.model}")
        if isinstance(provider, ChatCompletionsProvider) and passes(config, provider):
            return PassThrough(config, provider, upstream, self._billing, price)
        return Translating(config, provider, upstream, self._billing, price)
