"""The chef of C and C++ programs: one compile step a source, each with a depfile, then the link.

Knows the compilers' options and depfiles; knows no package manager and no system headers one by one.
"""

import posixpath
from collections.abc import Iterable, Mapping, Sequence

from cpods import digest
from cpods.chefs import ccerrors, depfile, includes
from cpods.chefs.packages import is_covered
from cpods.chefs.shell import failure, resolve
from cpods.declaration import CompilerDeclaration, Declaration
from cpods.errors import ProjectFileError
from cpods.globs import is_pattern
from cpods.ids import FilePath, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

#: Driver by the ending of a source.
DRIVERS = {".c": "cc", ".cc": "c++", ".cpp": "c++", ".cxx": "c++", ".c++": "c++", ".C": "c++"}
#: Variables that GCC and Clang read.
_COMPILE_ENV = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH")
_LINK_ENV = ("LIBRARY_PATH", "LD_RUN_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH")
#: Their packages own the compiler proper, its headers, and (by -dev packages) the libraries that are linked.
_TREES = ("/usr/include", "/usr/lib/gcc", "/usr/libexec/gcc", "/usr/lib/clang")
_LIBRARY_ENDINGS = (".so", ".a")


class CompilerChef:
    """Plans objects below ``build/<program>/`` and the link. Paths are relative to the project; flags mean what ``cwd`` makes them."""

    name = "compiler"
    version = 1

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """``cc:<program>:<source>`` for each source in the order of the project file, then ``link:<program>``.

        Raises ProjectFileError for a pattern that no source matches or a source that is neither C nor C++.
        """
        if not isinstance(declaration, CompilerDeclaration):
            raise TypeError(f"the compiler chef cannot plan a {type(declaration).__name__}")
        sources, globs = _sources(declaration, index, listing)
        compiles = [self._compile(declaration, source, (index, number)) for number, source in enumerate(sources)]
        return (*compiles, self._link(declaration, compiles, globs, (index, len(sources))))

    def _compile(self, declaration: CompilerDeclaration, source: FilePath, position: tuple[int, ...]) -> Step:
        cwd = normalise(declaration.cwd)
        made = f"{_object_folder(declaration)}/{source}"
        driver = DRIVERS[posixpath.splitext(source)[1]]
        standard = (f"-std={declaration.std}",) if declaration.std else ()
        folders = (f"-I{_seen_from(cwd, folder)}" for folder in declaration.include)
        files = ("-MD", "-MF", _seen_from(cwd, made + ".d"), "-c", _seen_from(cwd, source), "-o", _seen_from(cwd, made + ".o"))
        return Step(
            name=f"cc:{declaration.program}:{source}",
            chef=self.name,
            tool=driver,
            argv=(driver, *standard, *declaration.cflags, *folders, *files),
            position=position,
            cwd=cwd,
            inputs=(source,),
            outputs=(made + ".o",),
            env=(("LC_MESSAGES", "C"),),
            quiet=("LC_MESSAGES",),
            pass_env=tuple(dict.fromkeys((*_COMPILE_ENV, *declaration.env))),
            tools=(driver, "as"),
            pure=True,
            tool_match=declaration.tool_match,
            depfile=made + ".d",
            main=source,
        )

    def _link(self, declaration: CompilerDeclaration, compiles: Sequence[Step], globs: tuple[str, ...], position: tuple[int, ...]) -> Step:
        cwd = normalise(declaration.cwd)
        program = normalise(declaration.program)
        driver = "c++" if any(step.tool == "c++" for step in compiles) else "cc"
        objects = tuple(step.outputs[0] for step in compiles)
        files, libraries = _linked(declaration.ldflags, cwd)
        words = (*(_seen_from(cwd, path) for path in objects), *declaration.ldflags)
        return Step(
            name=f"link:{declaration.program}",
            chef=self.name,
            tool=driver,
            argv=(driver, "-o", _seen_from(cwd, program), *words),
            position=position,
            cwd=cwd,
            inputs=tuple(dict.fromkeys((*objects, *files))),
            optional=libraries,
            outputs=(program,),
            globs=globs,
            env=(("LC_MESSAGES", "C"),),
            quiet=("LC_MESSAGES",),
            pass_env=tuple(dict.fromkeys((*_LINK_ENV, *declaration.env))),
            tools=(driver, "ld"),
            pure=True,
            tool_match=declaration.tool_match,
        )

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """The depfile's reads with what was looked for before them; after a failure, all that the source can lead to."""
        reads = {path for path in (*step.inputs, *step.optional) if view.before(path)}
        absent = {path for path in (*step.inputs, *step.optional) if not view.before(path)}
        problems = _problems(step, view, exit)
        if step.depfile:
            more_reads, more_absent, complaint = _headers(step, view, exit)
            reads |= more_reads
            absent |= more_absent
            problems += complaint
        writes = tuple(path for path in step.outputs if view.exists(path))
        if not any(problem.severity == "error" for problem in problems):
            missing = (path for path in step.outputs if path not in writes)
            problems += tuple(Problem(f"step {step.name} ended well but did not make {path}", file=path) for path in missing)
        return Observation(reads=tuple(sorted(reads)), absent=tuple(sorted(absent - reads)), writes=writes, problems=problems)

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Compilers can depend on every byte: comments move ``__LINE__``, and ``-g`` records lines."""
        return ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """Everything."""
        return data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Digest of the driver, assembler or linker, and of the packages that own the compiler, headers and libraries."""
        parts = [f"{self.name}/{self.version}"]
        for tool in step.tools:
            parts += (tool, toolbox.binary(tool))
        return digest.of_parts((*parts, toolbox.packages(_TREES)))


def _sources(declaration: CompilerDeclaration, index: int, listing: Sequence[FilePath]) -> tuple[tuple[FilePath, ...], tuple[str, ...]]:
    """(sources, patterns). Of what a pattern matches, only C and C++ sources count."""
    where = f"step {index + 1} (program {declaration.program})"
    found: dict[FilePath, None] = {}
    patterns: list[str] = []
    for path in declaration.sources:
        matches, globs = resolve((path,), listing, ())
        sources = [match for match in matches if posixpath.splitext(match)[1] in DRIVERS]
        if not sources and is_pattern(path):
            raise ProjectFileError(where, f"no C or C++ source matches `{path}` in `sources`; expected at least one ({_endings()})")
        if not sources:
            raise ProjectFileError(where, f"`{path}` in `sources` is neither C nor C++ by its name; expected one of {_endings()}")
        found |= dict.fromkeys(sources)
        patterns += globs
    return tuple(found), tuple(patterns)


def _endings() -> str:
    return " ".join(DRIVERS)


def _object_folder(declaration: CompilerDeclaration) -> FilePath:
    """Objects lie apart for each program, because each has its own flags."""
    program = normalise(declaration.program)
    return f"{'build' if program != 'build' else 'objects'}/{program}"


def _seen_from(cwd: FilePath, path: str) -> str:
    """A project path as a tool running in ``cwd`` must call it; never mistaken for an option."""
    seen = path if path.startswith("/") else posixpath.relpath(normalise(path), cwd)
    return f"./{seen}" if seen.startswith(("-", "@")) else seen


def _linked(ldflags: Iterable[str], cwd: FilePath) -> tuple[tuple[FilePath, ...], tuple[FilePath, ...]]:
    """(files named in the flags, candidates of ``-l`` libraries in the project's ``-L`` folders)."""
    files: list[FilePath] = []
    folders: list[FilePath] = []
    names: list[str] = []
    words = iter(ldflags)
    for word in words:
        if word.startswith(("-L", "-l")):
            value = word[2:] or next(words, "")
            (folders if word[1] == "L" else names).append(value)
        elif word.endswith((".o", *_LIBRARY_ENDINGS)) and not word.startswith("-"):
            files.append(normalise(word, cwd))
    inside = [normalise(folder, cwd) for folder in folders if not folder.startswith("/")]
    libraries = (normalise(f"{folder}/lib{name}{ending}") for name in names for folder in inside for ending in _LIBRARY_ENDINGS)
    return tuple(path for path in files if not is_covered(path)), tuple(dict.fromkeys(libraries))


def _headers(step: Step, view: View, exit: Exit) -> tuple[set[FilePath], set[FilePath], tuple[Problem, ...]]:
    """(reads, absent, problems) of a compile step. What a failed run read is guessed from above: its depfile may be old or missing."""
    search = includes.search_of(step.argv, step.cwd, view.root)
    if exit.code != 0 and step.depfile not in view.changed():
        return (*includes.reachable(search, step.main, view), ())
    try:
        rules = depfile.parse(_depfile_bytes(step, view))
    except ValueError as error:
        complaint = Problem(f"step {step.name} ended, but its depfile cannot be read: {error}", file=step.depfile)
        return (*includes.reachable(search, step.main, view), (complaint,))
    named = [depfile.project_path(name, step.cwd, view.root) for rule in rules for name in rule.prerequisites]
    reads = {path for path in named if not is_covered(path) and view.before(path)}
    absent = includes.missed(search, reads, (path for path in named if is_covered(path)), view)
    if exit.code != 0:
        reached, missing = includes.reachable(search, step.main, view)
        return reads | reached, absent | missing, ()
    return reads, absent, ()


def _depfile_bytes(step: Step, view: View) -> bytes:
    """Raises ValueError if there is none."""
    data = view.read(step.depfile)
    if data is None:
        raise ValueError("it is not there")
    return data


def _problems(step: Step, view: View, exit: Exit) -> tuple[Problem, ...]:
    """What the compiler said; if it failed without a word that we know, its last lines."""
    said = ccerrors.problems(exit.stderr, step.cwd, view)
    failed = failure(step.name, exit)
    if not failed or any(problem.severity == "error" for problem in said):
        return said
    return (*failed, *said)
