"""The typer application: every command with its options, each handing over to its own module.

Knows no command's work.
"""

import os

import typer

from cpods import __version__
from cpods.cli import artefacts, federation, pods

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


#: Written out, since --help loads no strategy.
_PLACEMENTS = (
    "How pods are chosen for steps: locality (default), earliest-finish, dask-like, least-loaded, max-locality, round-robin or random."
)


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
    federation: str = typer.Option("", "--federation", metavar="NAME", help="Have the steps run by this federation's pods."),
    placement: str = typer.Option("", "--placement", metavar="NAME", help=_PLACEMENTS),
    leave_remote: bool = typer.Option(False, "--leave-remote", help="Leave goals on the pods that made them."),
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Show what tools on pods say while they run."),
) -> None:
    """Bring goals up to date: exactly the steps whose inputs changed are run."""
    from cpods.cli import rebuild as command
    from cpods.cli.flags import Flags

    raise typer.Exit(
        command.run(
            Flags(
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
                federation=federation,
                placement=placement,
                leave_remote=leave_remote,
                verbose=verbose,
            )
        )
    )


_FOLDER = typer.Option(".", "-C", metavar="DIR", help="Project folder.")
_NO_WAIT = typer.Option(False, "--no-wait", help="Do not wait for another build of this project.")
_graph = typer.Typer(no_args_is_help=True, help="Look at the step graph.")
_store = typer.Typer(no_args_is_help=True, help="Look after the store.")
_import = typer.Typer(no_args_is_help=True, help="Take over projects of other build tools.")
_majordomo = typer.Typer(no_args_is_help=True, help="A resident MajorDomo: builds ask it, and it knows what changed.")
_typer.add_typer(_graph, name="graph")
_typer.add_typer(_import, name="import")
_typer.add_typer(_majordomo, name="majordomo")
_typer.add_typer(_store, name="store")
_typer.add_typer(federation.app, name="federation")
_typer.add_typer(pods.app, name="pod")
_typer.add_typer(artefacts.app, name="artefact")


@_graph.command("show")
def graph_show(
    goals: list[str] = typer.Argument(None, metavar="[GOAL…]", help="Only what these need (default: the project's goals)."),
    form: str = typer.Option("tree", "--format", metavar="tree|dot|json", help="Text, Graphviz or JSON."),
    knots: bool = typer.Option(False, "--knots", help="Only steps of knots."),
    stale: bool = typer.Option(False, "--stale", help="Only steps that are not up to date, with their state."),
    folder: str = _FOLDER,
) -> None:
    """Show the step graph: knots grouped, feedback edges marked. Takes no lock."""
    from cpods.cli import graphshow

    raise typer.Exit(graphshow.run(folder, tuple(goals or ()), form, knots, stale))


@_typer.command()
def why(
    name: str = typer.Argument(..., metavar="GOAL|STEP", help="A file that a step makes, or a step (helpers too: bibtex:paper)."),
    placement: bool = typer.Option(False, "--placement", help="Say instead which pod it went to, and what spoke for that pod."),
    folder: str = _FOLDER,
) -> None:
    """Say why a step ran or did not in the last build, and what it would do now."""
    from cpods.cli import placed
    from cpods.cli import why as command

    raise typer.Exit(placed.run(folder, name) if placement else command.run(folder, name))


@_typer.command()
def deps(
    goal: str = typer.Argument(..., metavar="GOAL|STEP", help="A document, a file that a step makes, or a step."),
    form: str = typer.Option("text", "--format", metavar="text|make|json|dot", help="Text, a depfile, JSON or Graphviz."),
    folder: str = _FOLDER,
) -> None:
    """Print what a document reads, looked for and missed, and writes, with the tool and the pass. Runs nothing."""
    from cpods.cli import deps as command

    raise typer.Exit(command.run(folder, goal, form))


@_typer.command("log")
def show_log(
    step: str = typer.Argument(..., metavar="STEP", help="A step, a helper, or a file that one makes."),
    folder: str = _FOLDER,
) -> None:
    """Print what a step's last run said."""
    from cpods.cli import logs

    raise typer.Exit(logs.run(folder, step))


@_typer.command()
def status(
    goals: list[str] = typer.Argument(None, metavar="[GOAL…]", help="Only these (default: the project's goals)."),
    folder: str = _FOLDER,
) -> None:
    """Say which goals are current, stale or unstable, how knots ended, and who builds now."""
    from cpods.cli import status as command

    raise typer.Exit(command.run(folder, tuple(goals or ())))


@_typer.command()
def verify(
    goals: list[str] = typer.Argument(None, metavar="[GOAL…]", help="Only these (default: the project's goals)."),
    folder: str = _FOLDER,
    no_wait: bool = _NO_WAIT,
    report: str = typer.Option("", "--report", metavar="FILE", help="Write a JSON report."),
    json_lines: bool = typer.Option(False, "--json", help="Print JSON lines instead of text."),
) -> None:
    """Replay every knot from a clean start and run one pass at its fixed point: exit 1 if anything differs."""
    from cpods.cli import verify as command

    raise typer.Exit(command.run(command.Flags(folder, tuple(goals or ()), no_wait, report, json_lines)))


@_typer.command()
def clean(
    dry_run: bool = typer.Option(False, "-n", "--dry-run", help="Say what would go, remove nothing."),
    folder: str = _FOLDER,
    no_wait: bool = _NO_WAIT,
) -> None:
    """Remove generated files that were not edited since; the next build takes them from the store."""
    from cpods.cli import clean as command

    raise typer.Exit(command.run(folder, dry_run, no_wait))


@_import.command("latexmk")
def import_latexmk(
    folder: str = typer.Argument(".", metavar="[FOLDER]", help="Where the documents are."),
    rc: str = typer.Option("", "--rc", metavar="FILE", help="The rc file (default: .latexmkrc or latexmkrc in FOLDER)."),
    force: bool = typer.Option(False, "--force", help="Replace a cpods.toml that is there."),
    only_print: bool = typer.Option(False, "--print", help="Print what would be written, write nothing."),
) -> None:
    """Write cpods.toml out of a .latexmkrc; say of each of its lines what was taken, and why not."""
    from cpods.cli import importing

    raise typer.Exit(importing.run(folder, rc, force, only_print))


@_typer.command()
def watch(
    goals: list[str] = typer.Argument(None, metavar="[GOAL…]", help="Files or steps to keep built (default: the project's goals)."),
    until_stable: bool = typer.Option(False, "--until-stable", help="Iterate circular parts to a proven fixed point."),
    once: bool = typer.Option(False, "--once", help="One pass over circular parts, whatever the project says."),
    preview: bool = typer.Option(False, "--preview", help="Show PDF and HTML goals in the browser, renewed after each good build."),
    port: int = typer.Option(0, "--port", min=0, max=65535, help="Where the preview listens on 127.0.0.1 (default: any free port)."),
    seed: str = typer.Option("", "--seed", metavar="warm|clean|DIR", help="State that circular parts start from."),
    max_passes: int = typer.Option(None, "--max-passes", min=1, help="Passes before a circular part counts as diverging."),
    jobs: int = typer.Option(0, "-j", "--jobs", min=0, help="Steps at once (default: the number of cores)."),
    folder: str = _FOLDER,
    keep_going: int = typer.Option(1, "-k", metavar="N", min=0, help="Go on until N failures; 0: never stop."),
    fail_fast: bool = typer.Option(False, "--fail-fast", help="End also the passes at the first error."),
    keep_unstable: bool = typer.Option(False, "--keep-unstable", help="Publish what the last pass made even if it is not at rest."),
    report: str = typer.Option("", "--report", metavar="FILE", help="Write a JSON report after each build."),
    json_lines: bool = typer.Option(False, "--json", help="Print JSON lines instead of text."),
    federation: str = typer.Option("", "--federation", metavar="NAME", help="Have the steps run by this federation's pods."),
    placement: str = typer.Option("", "--placement", metavar="NAME", help=_PLACEMENTS),
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Show what tools on pods say while they run."),
) -> None:
    """Keep goals up to date: build them, and again whenever something that they stand on changes. Ctrl-C ends it."""
    from cpods.cli import watch as command
    from cpods.cli.flags import Flags

    flags = Flags(
        goals=tuple(goals or ()),
        until_stable=until_stable,
        once=once,
        seed=seed,
        max_passes=max_passes,
        jobs=jobs,
        folder=folder,
        keep_going=keep_going,
        fail_fast=fail_fast,
        keep_unstable=keep_unstable,
        report=os.path.abspath(report) if report else "",
        json_lines=json_lines,
        federation=federation,
        placement=placement,
        verbose=verbose,
    )
    raise typer.Exit(command.run(flags, preview, port))


@_majordomo.command("start")
def majordomo_start(
    folder: str = _FOLDER,
    idle_hours: float = typer.Option(3.0, "--idle-hours", min=0.001, help="End after so long without a call."),
) -> None:
    """Start it in the background, unless it runs: from then on `cpods rebuild` asks it."""
    from cpods.cli import majordomo

    raise typer.Exit(majordomo.start(folder, idle_hours))


@_majordomo.command("stop")
def majordomo_stop(folder: str = _FOLDER) -> None:
    """End it; builds that it has under way come to their end first."""
    from cpods.cli import majordomo

    raise typer.Exit(majordomo.stop(folder))


@_majordomo.command("status")
def majordomo_status(folder: str = _FOLDER) -> None:
    """Say whether it runs, and what it did; exit code 1 if it does not."""
    from cpods.cli import majordomo

    raise typer.Exit(majordomo.status(folder))


@_store.command("stat")
def store_stat(folder: str = _FOLDER) -> None:
    """Print what the store holds."""
    from cpods.cli import store

    raise typer.Exit(store.run_stat(folder))


@_store.command("fsck")
def store_fsck(
    rebuild: bool = typer.Option(False, "--rebuild", help="Make the catalogue anew from the store."),
    folder: str = _FOLDER,
    no_wait: bool = _NO_WAIT,
) -> None:
    """Verify every object and record; set damaged ones aside."""
    from cpods.cli import store

    raise typer.Exit(store.run_fsck(folder, rebuild, no_wait))


@_store.command("collect")
def store_collect(folder: str = _FOLDER, no_wait: bool = _NO_WAIT) -> None:
    """Evict what was used longest ago, down to [store] max_bytes."""
    from cpods.cli import store

    raise typer.Exit(store.run_collect(folder, no_wait))


def app() -> int:
    """Runs the application; the exit code. Raises KeyboardInterrupt, of which typer makes an exit without a word."""
    try:
        _typer()
    except SystemExit as error:
        if isinstance(error.__context__, typer.Exit) and isinstance(error.__context__.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0
