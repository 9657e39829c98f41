"""A tiny world without files or processes: programs are functions from what they read to what they write.

Knows no scheduler and no cache; contents are decimal numbers as text, and a half-blind reader sees only half of one.
"""

import random
from collections.abc import Callable, Mapping
from zlib import crc32

import msgspec

from cpods.digest import ABSENT
from cpods.model import Output, Read, Result, Step, Version

#: Name of the only filter here: a reader with it sees a number divided by two.
HALF = "half"

See = Callable[[str], str | None]


class Program(msgspec.Struct, frozen=True):
    """What one step does. ``found_*``: reads and writes that nobody declares; ``gated``: (gate, path), read if the gate is odd.

    ``values``: how many contents an output can have. ``halves``: paths seen through the filter. ``fails_on``: the run
    fails when its checksum modulo 5 is this. ``soft``: a failed run's outputs are usable. ``helper``: name of the program
    that an engine asks for when its checksum is even. ``parallel``: runs beside its neighbours in a pass.
    """

    name: str
    position: tuple[int, ...]
    salt: int = 0
    values: int = 3
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    found_reads: tuple[str, ...] = ()
    found_writes: tuple[str, ...] = ()
    gated: tuple[tuple[str, str], ...] = ()
    halves: tuple[str, ...] = ()
    engine: bool = False
    fails_on: int | None = None
    soft: bool = False
    helper: str | None = None
    planner: str | None = None
    parallel: bool = False

    def step(self) -> Step:
        """The step as the scheduler sees it."""
        return Step(
            name=self.name,
            chef="toy",
            tool="toy",
            argv=("toy", str(self.salt), str(self.values)),
            position=self.position,
            inputs=self.inputs,
            optional=self.optional,
            outputs=self.outputs,
            open_reads=self.engine,
            may_write=(self.name + ".",) if self.engine else (),
            always_mirror=self.engine,
            planner=self.planner,
            parallel=self.parallel,
            depfile=f"{self.name}.d" if (self.found_reads or self.gated) and not self.engine else "",
        )

    def key(self) -> str:
        """The static key: all that decides a run besides what it reads."""
        return repr(msgspec.structs.replace(self, position=()))


class Ran(msgspec.Struct, frozen=True):
    """One run: contents read (None: looked for, not there), contents written, exit code, whether its helper is wanted."""

    reads: Mapping[str, str | None]
    writes: Mapping[str, str]
    exit_code: int
    wants_helper: bool

    def is_usable(self, program: Program) -> bool:
        """Whether what it wrote may be used."""
        return self.exit_code == 0 or program.soft


def checksum(*parts: object) -> int:
    """The same number in every process."""
    return crc32(repr(parts).encode())


def half(content: str) -> str:
    """What a half-blind reader sees."""
    return str(int(content) // 2)


def run(program: Program, see: See) -> Ran:
    """Runs a program once. ``see(path)``: the content before the run."""
    reads: dict[str, str | None] = {}

    def look(path: str) -> str | None:
        content = reads[path] = see(path)
        return half(content) if content is not None and path in program.halves else content

    seen = [look(path) for path in (*program.inputs, *program.optional, *program.found_reads)]
    for gate, path in program.gated:
        shown = look(gate)
        seen.append(shown)
        if shown is not None and int(shown) % 2:
            seen.append(look(path))
    total = checksum(program.salt, seen)
    failed = program.fails_on is not None and total % 5 == program.fails_on
    usable = not failed or program.soft
    writes = {path: str(checksum(total, path) % program.values) for path in (*program.outputs, *program.found_writes)} if usable else {}
    return Ran(reads, writes, 2 if failed else 0, usable and program.helper is not None and total % 2 == 0)


def version(content: str) -> Version:
    """A content as an artefact, with what half-blind readers see of it."""
    return Version("=" + content, len(content), ((HALF, "half=" + half(content)),))


def content_of(digest: str) -> str:
    """The content that an artefact's digest stands for (here it can be read off)."""
    return digest[1:]


def edge(program: Program, path: str, content: str | None) -> str:
    """The edge digest of a content for a reader."""
    if content is None:
        return ABSENT
    return version(content).seen(HALF if path in program.halves else "")


class World(msgspec.Struct):
    """Sources by path, and programs by name in project order; ``helpers`` are no declared steps."""

    sources: dict[str, str]
    programs: dict[str, Program]
    helpers: dict[str, Program] = {}

    def steps(self) -> dict[str, Step]:
        """The declared steps in project order."""
        return {p.name: p.step() for p in sorted(self.programs.values(), key=lambda p: p.position)}

    def program(self, name: str) -> Program:
        """A declared program or a helper."""
        return self.programs.get(name) or self.helpers[name]

    def goals(self) -> tuple[str, ...]:
        """Every declared output."""
        return tuple(path for program in self.programs.values() for path in program.outputs)

    def filter_for(self, step: Step, path: str) -> str:
        """The filter through which a step sees a path."""
        return HALF if path in self.program(step.name).halves else ""

    def result(self, program: Program, ran: Ran) -> Result:
        """A run as a stored result."""
        helpers = (self.helpers[program.helper].step(),) if ran.wants_helper and program.helper else ()
        return Result(
            static_key=program.key(),
            step=program.name,
            reads=tuple(Read(path, edge(program, path, content)) for path, content in sorted(ran.reads.items())),
            outputs=tuple(Output(path, version(content)) for path, content in sorted(ran.writes.items())),
            exit_code=ran.exit_code,
            helpers=helpers,
            usable=ran.is_usable(program),
        )


class Taste(msgspec.Struct, frozen=True):
    """What kinds of things a random world holds; each a probability."""

    cycles: float = 0.3
    engines: float = 0.2
    found_reads: float = 0.3
    found_writes: float = 0.2
    gated: float = 0.0
    failures: float = 0.0
    halves: float = 0.2
    required: float = 0.4
    parallel: float = 0.0


def random_world(rng: random.Random, taste: Taste, most: int = 6) -> World:
    """A world of 2 to ``most`` steps, in an order of positions that says nothing about who needs whom."""
    count = rng.randint(2, most)
    names = [f"s{index}" for index in range(count)]
    flow = rng.sample(names, count)  # who may need whom without closing a circle
    sources = {f"src{index}": str(rng.randrange(4)) for index in range(rng.randint(1, 3))}
    extra = {name: (f"{name}.aux",) if rng.random() < taste.found_writes else () for name in names}
    engines = {name for name in names if rng.random() < taste.engines}
    makes = {name: (f"{name}.out", *(extra[name] or ((f"{name}.aux",) if name in engines else ()))) for name in names}
    world = World(sources, {})
    for position, name in enumerate(names):
        before = flow[: flow.index(name)]
        program = _random_program(rng, taste, name, position, makes, before, list(sources))
        if name in engines:
            program = _as_engine(rng, program, world)
        elif extra[name]:
            program = msgspec.structs.replace(program, found_writes=extra[name])
        if taste.parallel and name not in engines and rng.random() < taste.parallel:
            program = msgspec.structs.replace(program, parallel=True)
        world.programs[name] = program
    return world


def _random_program(
    rng: random.Random, taste: Taste, name: str, position: int, makes: Mapping[str, tuple[str, ...]], before: list[str], sources: list[str]
) -> Program:
    kinds: dict[str, list[str]] = {"inputs": [], "optional": [], "found_reads": []}
    wanted = [(path, True) for path in rng.sample(sources, rng.randint(0, len(sources)))]
    wanted += [(rng.choice(makes[other]), True) for other in rng.sample(before, rng.randint(0, min(2, len(before))))]
    if rng.random() < taste.cycles:
        wanted.append((rng.choice(makes[rng.choice(sorted(makes))]), False))
    for path, forward in dict(wanted).items():
        declared = path.endswith(".out") or path in sources
        if declared and rng.random() < (taste.required if forward else 0.1):
            kinds["inputs"].append(path)
        elif declared and rng.random() >= taste.found_reads:
            kinds["optional"].append(path)
        else:
            kinds["found_reads"].append(path)
    gated: tuple[tuple[str, str], ...] = ()
    if sources and before and rng.random() < taste.gated:
        gated = ((rng.choice(sources), rng.choice(makes[rng.choice(before)])),)
    reads = [path for paths in kinds.values() for path in paths]
    return Program(
        name=name,
        position=(position,),
        salt=rng.randrange(1000),
        values=rng.choice((2, 3, 4)),
        inputs=tuple(kinds["inputs"]),
        optional=tuple(kinds["optional"]),
        outputs=(f"{name}.out",),
        found_reads=tuple(kinds["found_reads"]),
        gated=gated,
        halves=tuple(path for path in reads if rng.random() < taste.halves),
        fails_on=rng.randrange(5) if rng.random() < taste.failures else None,
    )


def _as_engine(rng: random.Random, program: Program, world: World) -> Program:
    """Reads back its own .aux; half of the engines ask for a helper, which sees half of the .aux."""
    name = program.name
    found = tuple(dict.fromkeys((*program.found_reads, f"{name}.aux")))
    helper = None
    if rng.random() < 0.5:
        helper = f"{name}/tool"
        found = (*found, f"{name}.bbl")
        world.helpers[helper] = Program(
            name=helper,
            position=(*program.position, 1),
            salt=rng.randrange(1000),
            inputs=(f"{name}.aux",),
            outputs=(f"{name}.bbl",),
            halves=(f"{name}.aux",),
            planner=name,
        )
    return msgspec.structs.replace(
        program, engine=True, found_reads=found, found_writes=(f"{name}.aux",), helper=helper, soft=rng.random() < 0.5
    )
