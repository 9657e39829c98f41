"""``cpods pod …``: run one here, look at all, drain one, stop one.

Knows no step; a pod's process is podserver's.
"""

import typer

app = typer.Typer(no_args_is_help=True, help="The machines of a federation that run steps.")

_OF = typer.Option("", "-F", "--federation", metavar="NAME", help="The federation (default: the only one that you are in).")
_POD = typer.Argument(..., metavar="POD", help="The pod's name.")


@app.command()
def start(
    federation: str = _OF,
    store: str = typer.Option("", "--store", metavar="DIR", help="Its store (default: below the member's home)."),
    work: str = typer.Option("", "--work", metavar="DIR", help="Its workspaces (default: below the member's home)."),
    slots: int = typer.Option(0, "--slots", min=0, help="Steps at once (default: the number of cores)."),
    tags: list[str] = typer.Option(None, "--tag", metavar="KEY=VALUE", help="What may be said of this pod."),
    sftp: str = typer.Option("embedded", "--sftp-server", metavar="embedded|openssh", help="What serves its store."),
    listen: str = typer.Option("", "--listen", metavar="HOST", help="Address that its store is served at."),
    port: int = typer.Option(0, "--port", min=0, max=65535, help="Port that its store is served at (default: any free one)."),
) -> None:
    """Run a pod in this process until it is ended."""
    from cpods.cli import podstart

    raise typer.Exit(podstart.run(federation, store, work, slots, tuple(tags or ()), sftp, listen, port))


@app.command("list")
def list_pods(
    federation: str = _OF,
    wide: bool = typer.Option(False, "--wide", help="With chefs, tools and tags."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Show all pods: state, slots, load, disk, what they hold. One that was not heard of lately is marked."""
    from cpods.cli import podlist

    raise typer.Exit(podlist.run(federation, wide, as_json))


@app.command()
def drain(
    pod: str = _POD,
    federation: str = _OF,
    off: bool = typer.Option(False, "--off", help="Take steps again."),
) -> None:
    """Let a pod take no more steps, and hand its only copies and its ownerships to others; then it may leave."""
    from cpods.cli import draining

    raise typer.Exit(draining.run(federation, pod, off))


@app.command()
def stop(pod: str = _POD, federation: str = _OF) -> None:
    """End a pod; its running steps are given up and run elsewhere."""
    from cpods.cli import podlist

    raise typer.Exit(podlist.run_stop(federation, pod))
