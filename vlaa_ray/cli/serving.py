"""The command that puts a trained model behind an API: `serve`."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlaa_ray.cli.common import Overrides, require_own_actors
from vlaa_ray.errors import ConfigError

if TYPE_CHECKING:
    from vlaa_ray.serving.settings import ServeSettings

app = typer.Typer(rich_markup_mode=None)


@app.command()
def serve(
    overrides: Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Model to serve: a folder, a run or its name, a checkpoint, a hub id, or builtin for the small one.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Serve config file, such as configs/serve/local.yaml."),
    ] = None,
    ui: Annotated[
        bool, typer.Option("--ui", help="Open a page, too, where one asks about a picture (extra `ui`).")
    ] = False,
) -> None:
    """Serve a model to every client of OpenAI's chat API.

    It runs on Ray Serve until SIGTERM or SIGINT; then answers in flight may end. The environment variable
    VLAA_RAY_API_KEY holds the key that requests must carry; without one, only this machine may ask.
    """
    from pydantic import SecretStr

    from vlaa_ray.cli.cluster import require_free
    from vlaa_ray.services.secret import secret_in
    from vlaa_ray.serving.gate import require_key
    from vlaa_ray.serving.settings import load_serve_config, settings_of

    if model is None and config is None:
        raise ConfigError("no model is named", fix="give --model MODEL, or --config FILE")
    settings = settings_of(load_serve_config(config, model, overrides or []))
    http = settings.config.http
    secret = secret_in(http.key_env, "http.key_env")
    require_key(http.host, secret, http.key_env)
    require_free(http.host, http.port)
    if ui:
        from vlaa_ray.asking.web_page import require_gradio

        require_gradio()
        require_free("127.0.0.1", http.ui_port)
    require_own_actors()
    logging.disable(logging.WARNING)  # vLLM tells at its import what this machine lacks
    from actors.serving.policy_process import serve_policy

    logging.disable(logging.NOTSET)

    serve_policy(settings, SecretStr(secret) if secret else None, typer.echo, _page(settings) if ui else None)


def _page(settings: ServeSettings) -> AbstractContextManager[str]:
    """Return the page that asks the server; it is opened when the server is ready."""
    from vlaa_ray.asking.session import AskSettings
    from vlaa_ray.asking.web_page import ServedModel, opened_page
    from vlaa_ray.run.trained_frame import trained_frame

    http, limits = settings.config.http, settings.config.limits
    asking = AskSettings(
        max_tokens=limits.max_completion_tokens,
        frame=trained_frame(settings.source),
        api_key_env=http.key_env,
        deadline_s=settings.config.request_timeout_s,
    )
    url = f"http://{http.host}:{http.port}/v1"
    return opened_page(ServedModel(name=settings.name, url=url, settings=asking), http.ui_port)
