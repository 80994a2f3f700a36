"""The command ``penin serve``: the champion as an OpenAI-compatible endpoint."""

from __future__ import annotations

from pathlib import Path

import click

from penin_core import place_options

__all__ = ["command"]

HOST, PORT, NAME, MOST = "127.0.0.1", 8788, "champion", 64


@click.command()
@click.option("--host", default=HOST, show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port to listen on; 0 for any that is free.",
)
@click.option(
    "--name",
    default=NAME,
    show_default=True,
    help="What requests call the deployment, in their field model.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Hashes of the tokens that may ask; needed where others can reach the address.",
)
@click.option(
    "--new-token", metavar="USER", help="Add a token for USER to the file, print it, and end."
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A further host name by which clients call this server; may be repeated.",
)
@click.option(
    "--most",
    type=click.IntRange(1, 4096),
    default=MOST,
    show_default=True,
    help="Requests that are answered at a time; more get a 503.",
)
@place_options
def command(
    host: str,
    port: int,
    name: str,
    token_file: Path | None,
    new_token: str | None,
    allow_host: tuple[str, ...],
    most: int,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Serve the champion to OpenAI's clients until Ctrl-C."""
    if new_token is not None:
        _add_token(token_file, new_token)
        return
    import logging

    from penin_core import Deployment

    from .server import require_name, require_token, serve_until_stopped

    require_name(name)
    require_token(host, token_file)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    serve_until_stopped(
        Deployment.find(config, state_dir, name=name, tell=_say),
        host=host,
        port=port,
        names=allow_host,
        token_file=token_file,
        most=most,
        announce=lambda address: _say(f"serving {name!r} at {address}; Ctrl-C ends it"),
    )


def _add_token(path: Path | None, user: str) -> None:
    from penin_core import SettingsError

    from .guard import new_token

    if path is None:
        raise SettingsError("--new-token needs a file", hint="name it with --token-file FILE")
    click.echo(new_token(path, user))


def _say(text: str) -> None:
    click.echo(text, err=True)
