"""``cpods artefact …``: where one is, bring it here or there, pass its ownership, keep it.

Knows no transfer and no catalogue.
"""

import typer

app = typer.Typer(no_args_is_help=True, help="The versions of files: who owns and holds them; bring them here or there.")

_FOLDER = typer.Option(".", "-C", metavar="DIR", help="Project folder.")
_OF = typer.Option("", "-F", "--federation", metavar="NAME", help="The federation (default: the project's, if it has one).")
_WHAT = typer.Argument(..., metavar="PATH|DIGEST", help="A file of the project, or the digest of any version.")
_PATH = typer.Argument(..., metavar="PATH", help="A file of the project that a step made.")
_NO_WAIT = typer.Option(False, "--no-wait", help="Do not wait for a build of this project.")


@app.command()
def where(
    what: str = _WHAT,
    folder: str = _FOLDER,
    federation: str = _OF,
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Say who owns a file, in which version, and who holds that; pods that run are asked. Takes no lock."""
    from cpods.cli import whereabouts

    raise typer.Exit(whereabouts.run(folder, federation, what, as_json))


@app.command()
def refresh(
    path: str = _PATH,
    to: str = typer.Option("", "--to", metavar="POD", help="Bring it into this pod's store instead of the project folder."),
    folder: str = _FOLDER,
    federation: str = _OF,
    no_wait: bool = _NO_WAIT,
) -> None:
    """Bring the owner's present version of a file here; nothing moves if it is here already."""
    from cpods.cli import moving

    raise typer.Exit(moving.run_refresh(folder, federation, path, to, no_wait))


@app.command()
def move(
    path: str = _PATH,
    to: str = typer.Option(..., "--to", metavar="POD", help="The new owner; here: this project folder."),
    folder: str = _FOLDER,
    federation: str = _OF,
    no_wait: bool = _NO_WAIT,
) -> None:
    """Pass the ownership of a file on: the new owner gets the artefact first."""
    from cpods.cli import moving

    raise typer.Exit(moving.run_move(folder, federation, path, to, no_wait))


@app.command()
def copy(
    what: str = _WHAT,
    to: str = typer.Option(..., "--to", metavar="POD", help="Who gets a copy; here: this project's store."),
    folder: str = _FOLDER,
    federation: str = _OF,
) -> None:
    """Let another pod hold an artefact too."""
    from cpods.cli import moving

    raise typer.Exit(moving.run_copy(folder, federation, what, to, pin=False))


@app.command()
def pin(
    what: str = _WHAT,
    to: str = typer.Option("", "--to", metavar="POD", help="Where it is kept (default: this project's store)."),
    folder: str = _FOLDER,
    federation: str = _OF,
) -> None:
    """Keep an artefact for good: it is never evicted from that store."""
    from cpods.cli import moving

    raise typer.Exit(moving.run_copy(folder, federation, what, to or "here", pin=True))
