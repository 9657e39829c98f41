"""Helpers that work only where nobody else does, and helpers of helpers."""

from cpods.model import Step
from tests.helpers.bench import Act, Bench, Look, step

RULE = step("rule", 0, inputs=("fig.svg",), outputs=("fig.pdf",), planner="e", options=(("if_missing", "yes"),))


def _wants(*helpers: Step, reads: str = "fig.pdf") -> Act:
    def act(look: Look) -> dict[str, str]:
        seen = look(reads)
        look.helpers = helpers
        return {"doc": seen or "nothing"}

    return act


def _makes(path: str) -> Act:
    return lambda look: {path: look("fig.svg") or ""}


def _engine(**fields: object) -> Step:
    return step("e", 0, open_reads=True, **fields)


def test_a_missing_file_is_made_and_its_maker_stays_when_it_is_there() -> None:
    bench = Bench({"e": _wants(RULE), "rule": _makes("fig.pdf")}, {"fig.svg": "s"})
    run = bench.knot([_engine()])
    outcome = bench.iterate(run)
    assert (outcome.verdict, bench.course) == ("FIXED", ["e", "rule", "e"])
    assert [helper.name for helper in run.last["e"].helpers] == ["rule"]


def test_a_file_that_is_there_otherwise_is_not_made() -> None:
    bench = Bench({"e": _wants(RULE), "rule": _makes("fig.pdf")}, {"fig.svg": "s", "fig.pdf": "own"})
    run = bench.knot([_engine()])
    outcome = bench.iterate(run)
    assert (outcome.verdict, bench.course) == ("FIXED", ["e"])
    assert run.last["e"].helpers == ()
    assert run.order() == ("e",)


def test_a_file_that_a_declared_member_makes_is_not_made_twice() -> None:
    maker = step("f", 1, inputs=("fig.svg",), outputs=("fig.pdf",))
    bench = Bench({"e": _wants(RULE), "f": _makes("fig.pdf"), "rule": _makes("fig.pdf")}, {"fig.svg": "s"})
    outcome = bench.iterate(bench.knot([_engine(), maker]))
    assert (outcome.verdict, bench.course) == ("FIXED", ["e", "f", "e"])


def test_a_helper_with_the_name_of_a_declared_step_is_that_step() -> None:
    twin = step("f", 0, planner="e", outputs=("fig.pdf",))
    bench = Bench({"e": _wants(twin), "f": _makes("fig.pdf")}, {"fig.svg": "s"})
    run = bench.knot([_engine(), step("f", 1, inputs=("fig.svg",), outputs=("fig.pdf",))])
    outcome = bench.iterate(run)
    assert (outcome.verdict, bench.course) == ("FIXED", ["e", "f", "e"])
    assert run.steps["f"].planner is None


def test_two_documents_with_one_picture_have_one_maker() -> None:
    bench = Bench({"e": _wants(RULE), "f": _wants(RULE), "rule": _makes("fig.pdf")}, {"fig.svg": "s"})
    bench.acts["f"] = lambda look: {"other": _wants(RULE)(look)["doc"]}
    run = bench.knot([_engine(), step("f", 1, open_reads=True)])
    assert bench.iterate(run).verdict == "FIXED"
    assert bench.course == ["e", "rule", "f", "e"]
    assert [helper.name for helper in run.last["e"].helpers] == ["rule"]
    assert run.last["f"].helpers == ()


def test_helpers_of_helpers_run_behind_them_and_go_with_them() -> None:
    nested = step("bib", 0, planner="pic")
    picture = step("pic", 0, planner="e", open_reads=True, outputs=("fig.pdf",))

    def pic(look: Look) -> dict[str, str]:
        look.helpers = (nested,)
        return {"fig.pdf": look("bbl") or "?", "pic.aux": "a"}

    def engine(look: Look) -> dict[str, str]:
        seen, wanted = look("fig.pdf"), look("switch") == "on"
        look.helpers = (picture,) if wanted else ()
        return {"doc": seen or "nothing"}

    bench = Bench({"e": engine, "pic": pic, "bib": lambda look: {"bbl": look("pic.aux") or ""}}, {"switch": "on"})
    run = bench.knot([_engine()])
    assert bench.iterate(run).verdict == "FIXED"
    assert bench.course == ["e", "pic", "bib", "e", "pic", "e"]
    assert run.order() == ("e", "pic", "bib")
    bench.sources["switch"] = "off"
    again = bench.knot([_engine()], seed=run.outputs(), helpers={"e": ["pic"], "pic": ["bib"]})
    assert bench.iterate(again).verdict == "FIXED"
    assert again.order() == ("e",)
    assert {path for _, output in again.outputs() for path in [output.path]} == {"doc"}
