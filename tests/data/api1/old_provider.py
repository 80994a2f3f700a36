"""Models of OldProvider, by its chat completions API."""

from __future__ import annotations

from penin_core import ChatCompletionsProvider, Provider, hookimpl

penin_api = 1


class OldProvider(ChatCompletionsProvider):
    """Models of OldProvider, by its chat completions API."""

    name = "old-provider"
    base_url = "https://api.old-provider.example/v1"
    base_url_env = "OLD_PROVIDER_BASE_URL"
    key_env = "OLD_PROVIDER_API_KEY"


@hookimpl
def penin_register_providers() -> list[type[Provider]]:
    """Return the provider."""
    return [OldProvider]
