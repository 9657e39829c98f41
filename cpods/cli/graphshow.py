"""``cpods graph show``: the step graph as text, dot or JSON.

Knows no graph; see majordomo/picture.py and graph/render.py.
"""

from cpods.cli.desk import check_goals, looking, told
from cpods.errors import UsageError

FORMATS = ("tree", "dot", "json")


def run(folder: str, goals: tuple[str, ...], form: str, only_knots: bool, only_stale: bool) -> int:
    """Prints the graph; the exit code."""
    return told(lambda: _show(folder, goals, form, only_knots, only_stale))


async def _show(folder: str, goals: tuple[str, ...], form: str, only_knots: bool, only_stale: bool) -> int:
    if form not in FORMATS:
        raise UsageError(f"--format {form}: expected one of {', '.join(FORMATS)}")
    from cpods.graph.render import as_json, dot, narrowed, tree
    from cpods.majordomo.picture import picture
    from cpods.majordomo.staleness import examine

    async with looking(folder, goals) as build:
        check_goals(build, strict=True)
        findings = examine(build) if only_stale else None
        drawn = picture(build, findings)
        if drawn.knots and form != "dot":
            from cpods.graph.shortest import circled

            drawn = circled(drawn)
        if only_knots:
            drawn = narrowed(drawn, {name for knot in drawn.knots for name in knot.steps})
        if findings is not None:
            drawn = narrowed(drawn, {name for name, finding in findings.items() if finding.state != "current"})
    if form == "tree" and not drawn.nodes:
        print("there is no knot" if only_knots and not only_stale else "everything is up to date")
        return 0
    print({"tree": tree, "dot": dot, "json": as_json}[form](drawn), end="")
    return 0
