"""The typer application: every command with its options, each handing over to its own module.

Knows no command's work.
"""

import typer

from cpods import __version__

_typer = typer.Typer(
    name="cpods",
    help="Builds projects, circular ones included, until they are proven to be at rest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cpods {__version__}")
        raise typer.Exit


@_typer.callback()
def _common(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and exit.")) -> None:
    """Options before any command."""


@_typer.command()
def rebuild(
    goals: list[str] = typer.Argument(None, metavar="[GOAL…]", help="Files or steps to build; a lone paper.tex needs no project file."),
    until_stable: bool = typer.Option(False, "--until-stable", help="Iterate circular parts to a proven fixed point."),
    once: bool = typer.Option(False, "--once", help="One pass over circular parts, whatever the project says."),
    seed: str = typer.Option("", "--seed", metavar="warm|clean|DIR", help="State that circular parts start from."),
    max_passes: int = typer.Option(None, "--max-passes", min=1, help="Passes before a circular part counts as diverging."),
    jobs: int = typer.Option(0, "-j", "--jobs", min=0, help="Steps at once (default: the number of cores)."),
    folder: str = typer.Option(".", "-C", metavar="DIR", help="Project folder."),
    keep_going: int = typer.Option(1, "-k", metavar="N", min=0, help="Go on until N failures; 0: never stop."),
    fail_fast: bool = typer.Option(False, "--fail-fast", help="End also the passes at the first error."),
    dry_run: bool = typer.Option(False, "-n", "--dry-run", help="Say what would run, run nothing."),
    force: bool = typer.Option(False, "--force", help="Run every step, whatever the store knows."),
    no_wait: bool = typer.Option(False, "--no-wait", help="Do not wait for another build of this project."),
    keep_unstable: bool = typer.Option(False, "--keep-unstable", help="Publish what the last pass made even if it is not at rest."),
    report: str = typer.Option("", "--report", metavar="FILE", help="Write a JSON report."),
    json_lines: bool = typer.Option(False, "--json", help="Print JSON lines instead of text."),
) -> None:
    """Bring goals up to date: exactly the steps whose inputs changed are run."""
    from cpods.cli import rebuild as command

    raise typer.Exit(
        command.run(
            command.Flags(
                goals=tuple(goals or ()),
                until_stable=until_stable,
                once=once,
                seed=seed,
                max_passes=max_passes,
                jobs=jobs,
                folder=folder,
                keep_going=keep_going,
                fail_fast=fail_fast,
                dry_run=dry_run,
                force=force,
                no_wait=no_wait,
                keep_unstable=keep_unstable,
                report=report,
                json_lines=json_lines,
            )
        )
    )


def app() -> int:
    """Runs the application; the exit code."""
    try:
        _typer()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0
