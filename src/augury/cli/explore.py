"""The command `augury explore`: a web page over a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from augury.cli.options import Drawing, RunFolder

if TYPE_CHECKING:
    from augury.explorer import Address


def explore(
    run: RunFolder,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. Any other than this machine's own needs the token that is printed."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.", min=0, max=65535)] = 8765,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the browser of this machine.")] = False,
    device: Drawing = "cpu",
) -> None:
    """Show a run in the browser: data, training while it runs, generator, review of synthetic images, verdict."""
    from augury.data.decoding.safety import extra

    for package in ("starlette", "uvicorn"):
        extra(package, "augury explore", "explore")
    from augury.explorer import Address, serve
    from augury.pipeline.run_folder import Run

    def ready(address: Address) -> None:
        typer.echo(f"{run} is shown at {address.url}    (stop with Ctrl-C)")
        if browser:
            typer.launch(address.url)

    serve(Run(run), Address.of(host, port), device, ready)
