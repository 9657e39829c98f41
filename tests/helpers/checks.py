"""What must hold after a build of a tiny world, kept apart from the driver that builds it.

Each check returns sentences; none means that all is well. Knows no schedule.
"""

from cpods.events import Settled, Solved, Spoilt
from tests.helpers.driver import Ended
from tests.helpers.naive import Built
from tests.helpers.world import Program, World, run


def looked_at(world: World, ended: Ended) -> set[str]:
    """Declared steps of which something was seen in this build: a run, a stored result, or a recalled solution."""
    names = {event.step for event in ended.log if isinstance(event, Settled | Spoilt)}
    names |= {name for event in ended.log if isinstance(event, Solved) and event.solution for name, _ in event.solution.last}
    return names & world.programs.keys()


def is_knowable(world: World, ended: Ended) -> bool:
    """Whether no step that never gave a result would write an undeclared file that others look for: nobody can know of that."""
    seen = looked_at(world, ended)
    answered = seen - {event.step for event in ended.log if isinstance(event, Spoilt)} | {
        event.step for event in ended.log if isinstance(event, Settled)
    }
    unknown = {path for name, program in world.programs.items() if name not in answered for path in program.found_writes}
    return not any(unknown & {*program.optional, *program.found_reads} for name, program in world.programs.items() if name in seen)


def same_as_naive(world: World, built: Built, ended: Ended) -> list[str]:
    """The same verdict for each step (if all ran; else the same steps at rest), and the same files of steps at rest."""
    complaints = []
    complete = looked_at(world, ended) >= world.programs.keys()
    for name, program in world.programs.items():
        expected, found = built.verdicts[name], ended.verdicts[name]
        if expected != found and (complete or "FIXED" in (expected, found)):
            complaints.append(f"{name}: the naive builder says {expected}, the core {found}")
        elif expected == "FIXED":
            for path in (*program.outputs, *program.found_writes):
                if built.files.get(path) != ended.products.get(path):
                    complaints.append(f"{path}: the naive builder makes {built.files.get(path)}, the core {ended.products.get(path)}")
    return complaints


def at_rest(world: World, ended: Ended) -> list[str]:
    """Running any step of a unit that is done once more, over the files that stand there, changes nothing."""
    complaints = []
    for name, verdict in ended.verdicts.items():
        if verdict == "FIXED":
            for program in _with_helper(world, world.programs[name], ended):
                ran = run(program, lambda path: ended.products.get(path, world.sources.get(path)))
                wrong = [path for path, content in ran.writes.items() if ended.products.get(path) != content]
                complaints += [f"{path} of {program.name} is not what one more run would make" for path in wrong]
    return complaints


def _with_helper(world: World, program: Program, ended: Ended) -> list[Program]:
    if program.helper is None or not run(program, lambda path: ended.products.get(path, world.sources.get(path))).wants_helper:
        return [program]
    return [program, world.helpers[program.helper]]


def well_behaved(ended: Ended) -> list[str]:
    """Finish came exactly once; a step at rest stands on steps at rest alone."""
    complaints = [] if ended.finishes == 1 else [f"Finish came {ended.finishes} times"]
    graph = ended.core.knowledge.graph
    for maker, readers in graph.hard.items():
        for reader in readers:
            if ended.verdicts.get(reader) == "FIXED" != ended.verdicts.get(maker):
                complaints.append(f"{reader} is done though {maker} is {ended.verdicts.get(maker)}")
    return complaints
