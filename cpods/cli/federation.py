"""``cpods federation …``: found one, invite, join, leave, revoke, look at it.

Knows no protocol: the steward's process is stewarding's, the keys are net's.
"""

import typer

app = typer.Typer(no_args_is_help=True, help="Found a federation of machines, invite others, join, look at it.")

_NAME = typer.Argument("", metavar="[NAME]", help="The federation (default: the only one that you are in).")
_OF = typer.Option("", "-F", "--federation", metavar="NAME", help="The federation (default: the only one that you are in).")
_JSON = typer.Option(False, "--json", help="Print JSON instead of text.")


@app.command()
def init(
    name: str = typer.Argument(..., metavar="NAME", help="What the federation is to be called."),
    listen: str = typer.Option("127.0.0.1", "--listen", metavar="HOST", help="Address that the broker listens at; 0.0.0.0: all."),
    port: int = typer.Option(0, "--port", min=0, max=65535, help="Port of the broker (default: a free one, then kept)."),
    reached_as: list[str] = typer.Option(None, "--reached-as", metavar="HOST", help="Name or address by which other machines reach it."),
    broker: str = typer.Option("", "--broker", metavar="URL", help="Use this NATS (2.10 or newer, JetStream) instead of an own broker."),
    creds: str = typer.Option("", "--creds", metavar="FILE", help="Credentials for --broker."),
    authority: str = typer.Option("", "--ca", metavar="FILE", help="Certificate of --broker's authority (default: the system's)."),
    member: str = typer.Option("founder", "--as", metavar="NAME", help="Your own name in it."),
) -> None:
    """Found a federation on this machine and start its steward (with its broker) in the background."""
    from cpods.cli import founding

    wish = founding.Wish(name, member, listen, port, tuple(reached_as or ()), broker, creds, authority)
    raise typer.Exit(founding.run_init(wish))


@app.command()
def start(
    name: str = _NAME,
    foreground: bool = typer.Option(False, "--foreground", help="Run in this process until it is ended (for systemd)."),
) -> None:
    """Start the steward of a federation that was founded here."""
    from cpods.cli import founding

    raise typer.Exit(founding.run_start(name, foreground))


@app.command()
def stop(name: str = _NAME) -> None:
    """End the steward and its broker; pods go on with what they have and come back when it does."""
    from cpods.cli import founding

    raise typer.Exit(founding.run_stop(name))


@app.command()
def status(name: str = _NAME, as_json: bool = _JSON) -> None:
    """Show the federation: steward, members, open invitations."""
    from cpods.cli import membership

    raise typer.Exit(membership.run_status(name, as_json))


@app.command()
def invite(
    name: str = typer.Argument(..., metavar="NAME", help="What the new member is to be called."),
    majordomo: bool = typer.Option(False, "--majordomo", help="A user who builds, instead of a pod that runs steps."),
    expires: str = typer.Option("1h", "--expires", metavar="DURATION", help="How long the token can be used: 30m, 1h, 2d."),
    file: str = typer.Option("", "--file", metavar="FILE", help="Write the token into this file instead."),
    federation: str = _OF,
) -> None:
    """Make a join token: whoever has it can join once, under that name."""
    from cpods.cli import membership

    raise typer.Exit(membership.run_invite(federation, name, majordomo, expires, file))


@app.command()
def join(
    token: str = typer.Argument("", metavar="[TOKEN]", help="The token that `cpods federation invite` printed."),
    file: str = typer.Option("", "--file", metavar="FILE", help="Read the token from this file; -: from stdin."),
    creds: str = typer.Option("", "--creds", metavar="FILE", help="Credentials for the broker, if it is one that wants them."),
) -> None:
    """Become a member of a federation on this machine."""
    from cpods.cli import membership

    raise typer.Exit(membership.run_join(token, file, creds))


@app.command()
def leave(name: str = _NAME) -> None:
    """Be a member no longer; the keys on this machine are deleted."""
    from cpods.cli import membership

    raise typer.Exit(membership.run_leave(name))


@app.command()
def revoke(
    name: str = typer.Argument(..., metavar="NAME", help="The member, or who was invited."),
    federation: str = _OF,
) -> None:
    """Cut a member off at once, for good, or make an invitation void."""
    from cpods.cli import membership

    raise typer.Exit(membership.run_revoke(federation, name))


@app.command()
def events(
    name: str = _NAME,
    follow: bool = typer.Option(False, "--follow", help="Go on with what happens from now on."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON lines instead of text."),
) -> None:
    """Show what happened in the federation in the last days."""
    from cpods.cli import membership

    raise typer.Exit(membership.run_events(name, follow, as_json))
