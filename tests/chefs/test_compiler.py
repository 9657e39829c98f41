"""C and C++ programs, compiled for real: reads, absent headers, errors."""

import subprocess
from pathlib import Path

import pytest

from cpods.chefs.ccerrors import problems
from cpods.chefs.compiler import CompilerChef
from cpods.chefs.includes import directives, search_of
from cpods.chefs.toolbox import MachineToolbox
from cpods.declaration import CompilerDeclaration, ShellDeclaration
from cpods.errors import ProjectFileError
from cpods.model import Exit, Observation, Problem, Step
from tests.chefs.realview import BASE_ENVIRONMENT, RealView, run, snapshot

CHEF = CompilerChef()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def plan(root: Path, sources: tuple[str, ...] = ("main.c",), program: str = "app", **keys: object) -> list[Step]:
    declaration = CompilerDeclaration(program=program, sources=sources, **keys)  # type: ignore[arg-type]
    return list(CHEF.plan(declaration, 2, sorted(snapshot(root)), {}))


def really(root: Path, step: Step) -> Observation:
    """Runs a step as a pod does: the folders of its outputs are there."""
    for path in step.outputs:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    return run(CHEF, step, root)[0]


def compiled(root: Path, **keys: object) -> Observation:
    return really(root, plan(root, **keys)[0])  # type: ignore[arg-type]


def test_one_step_a_source_then_the_link(tmp_path: Path) -> None:
    write(tmp_path, {"src/b.cpp": "", "src/a.c": "", "src/a.h": "", "main.c": "", "app.c~": ""})
    keys = {"include": ("include",), "cflags": ("-O1",), "ldflags": ("-lm",), "std": "c11", "env": ("LANG",)}
    steps = plan(tmp_path, ("main.c", "src/*"), "bin/app", **keys)
    assert [step.name for step in steps] == ["cc:bin/app:main.c", "cc:bin/app:src/a.c", "cc:bin/app:src/b.cpp", "link:bin/app"]
    assert [step.position for step in steps] == [(2, 0), (2, 1), (2, 2), (2, 3)]
    assert [step.tool for step in steps] == ["cc", "cc", "c++", "c++"]
    object_file = "build/bin/app/src/a.c.o"
    depfile = "build/bin/app/src/a.c.d"
    assert steps[1].argv == ("cc", "-std=c11", "-O1", "-Iinclude", "-MD", "-MF", depfile, "-c", "src/a.c", "-o", object_file)
    assert (steps[1].inputs, steps[1].outputs, steps[1].depfile, steps[1].pure) == (("src/a.c",), (object_file,), depfile, True)
    assert {"CPATH", "LANG"} <= set(steps[1].pass_env)
    assert steps[3].argv[:3] == ("c++", "-o", "bin/app")
    assert steps[3].argv[-1] == "-lm"
    assert steps[3].inputs == tuple(step.outputs[0] for step in steps[:3])
    assert steps[3].globs == ("src/*",)


def test_a_program_that_really_runs(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.c": '#include <stdio.h>\n#include "name.h"\nint main(void) { puts(NAME); return twice(2); }\n',
            "lib/twice.c": "#include <name.h>\nint twice(int x) { return 2 * x; }\n",
            "include/name.h": '#define NAME "cpods"\nint twice(int);\n',
        },
    )
    steps = plan(tmp_path, ("main.c", "lib/*.c"), "bin/app", include=("include",))
    seen = [really(tmp_path, step) for step in steps]
    assert [observation.problems for observation in seen] == [(), (), ()]
    assert seen[0].reads == ("include/name.h", "main.c")
    assert {"name.h", "include/stdio.h"} <= set(seen[0].absent)
    assert not any(path.startswith("/usr/include") for path in seen[0].reads + seen[0].absent)
    assert seen[2].reads == ("build/bin/app/lib/twice.c.o", "build/bin/app/main.c.o")
    assert seen[2].writes == ("bin/app",)
    done = subprocess.run([tmp_path / "bin/app"], env=BASE_ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("cpods\n", 4)


def test_names_with_blanks_and_a_folder_to_run_in(tmp_path: Path) -> None:
    write(tmp_path, {"my src/größe 1.c": '#include "a b.h"\nint main(void) { return 0; }\n', "inc/a b.h": "", "work/x": ""})
    steps = plan(tmp_path, ("my src/*.c",), include=("inc",), cwd="work")
    seen = [really(tmp_path, step) for step in steps]
    assert [observation.problems for observation in seen] == [(), ()]
    assert seen[0].reads == ("inc/a b.h", "my src/größe 1.c")
    assert "my src/a b.h" in seen[0].absent
    assert (tmp_path / "app").exists()


def test_a_header_earlier_on_the_path_is_absent(tmp_path: Path) -> None:
    """Until it appears: then the compiler takes it, and the run must be made again."""
    main = '#include <x.h>\n#include "y.h"\n#include <sys/types.h>\nint main(void) { return X + Y; }\n'
    write(tmp_path, {"src/m.c": main, "one/k": "", "two/x.h": "#define X 0\n", "two/y.h": '#include "z.h"\n', "three/z.h": "#define Y 0\n"})
    seen = compiled(tmp_path, sources=("src/m.c",), include=("one", "two", "three"))
    assert seen.reads == ("src/m.c", "three/z.h", "two/x.h", "two/y.h")
    looked_for = {"one/x.h", "src/y.h", "one/y.h", "two/z.h", "one/z.h", "one/sys/types.h", "three/sys/types.h"}
    assert looked_for <= set(seen.absent)
    assert not {"src/x.h", "three/x.h", "three/y.h", "src/z.h"} & set(seen.absent)
    write(tmp_path, {"one/x.h": "#define X 5\n"})
    assert "one/x.h" in compiled(tmp_path, sources=("src/m.c",), include=("one", "two", "three")).reads


def test_options_of_cflags_join_the_search(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"m.c": '#include "q.h"\n#include <s.h>\nint main(void) { return F; }\n', "q/q.h": "", "s/s.h": "", "f.h": "#define F 0\n"},
    )
    flags = ("-iquote", "q", "-isystem", "s", "-Ia", "-include", "f.h")
    seen = compiled(tmp_path, sources=("m.c",), cflags=flags)
    assert seen.problems == ()
    assert seen.reads == ("f.h", "m.c", "q/q.h", "s/s.h")
    assert {"q.h", "a/s.h"} <= set(seen.absent)
    assert "a/q.h" not in seen.absent


def test_has_include_is_a_dependency(tmp_path: Path) -> None:
    write(tmp_path, {"m.c": '#if __has_include("tune.h") || __has_include(<i/tune.h>)\n#error no\n#endif\nint main(void) { return 0; }\n'})
    assert {"tune.h", "inc/tune.h", "inc/i/tune.h"} <= set(compiled(tmp_path, sources=("m.c",), include=("inc",)).absent)


def test_a_branch_not_taken_reads_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"m.c": '#ifdef NO\n#include "there.h"\n#endif\nint main(void) { return 0; }\n', "there.h": ""})
    seen = compiled(tmp_path, sources=("m.c",))
    assert seen.reads == ("m.c",)
    assert "there.h" not in seen.absent


def test_cplusplus_headers_without_ending(tmp_path: Path) -> None:
    write(tmp_path, {"m.cc": "#include <vector>\nint main() { return static_cast<int>(std::vector<int>().size()); }\n"})
    seen = compiled(tmp_path, sources=("m.cc",), include=("inc",), std="c++17")
    assert seen.reads == ("m.cc",)
    assert {"inc/vector", "inc/bits/stl_vector.h"} <= set(seen.absent)


def test_an_error_names_file_line_and_source(tmp_path: Path) -> None:
    write(tmp_path, {"src/m.c": '#include "h.h"\nint main(void) {\n  return missing;\n}\n', "src/h.h": "int f(void);\n"})
    seen = compiled(tmp_path, sources=("src/m.c",))
    (problem,) = seen.problems
    assert (problem.file, problem.line, problem.source, problem.severity) == ("src/m.c", 3, "return missing;", "error")
    assert "undeclared" in problem.message
    assert seen.reads == ("src/h.h", "src/m.c")
    assert not seen.usable_outputs


def test_a_header_that_another_step_will_make_is_absent_everywhere_it_could_be(tmp_path: Path) -> None:
    write(tmp_path, {"src/m.c": '#include "mid.h"\n', "inc/mid.h": '#include "gen.h"\n'})
    seen = compiled(tmp_path, sources=("src/m.c",), include=("inc", "out"))
    assert [(problem.file, problem.line) for problem in seen.problems] == [("inc/mid.h", 1)]
    assert seen.problems[0].message == "gen.h: No such file or directory"
    assert seen.reads == ("inc/mid.h", "src/m.c")
    assert {"inc/gen.h", "out/gen.h", "src/mid.h"} <= set(seen.absent)


def test_warnings_do_not_fail(tmp_path: Path) -> None:
    write(tmp_path, {"m.c": "int main(void) { int unused; return 0; }\n"})
    seen = compiled(tmp_path, sources=("m.c",), cflags=("-Wall",))
    assert [(problem.severity, problem.line) for problem in seen.problems] == [("warning", 1)]
    assert seen.writes == ("build/app/m.c.o",)


def test_a_link_that_fails_names_the_symbol(tmp_path: Path) -> None:
    write(tmp_path, {"main.c": "int f(void);\nint main(void) { return f(); }\n"})
    seen = [really(tmp_path, step) for step in plan(tmp_path, cflags=("-g",))]
    assert "undefined reference to `f'" in [problem.message for problem in seen[1].problems]
    assert seen[1].writes == ()


def test_libraries_of_the_project_are_inputs_of_the_link(tmp_path: Path) -> None:
    flags = ("lib/libx.a", "-Llib", "-L", "/usr/lib", "-ly", "-l", "z", "-Wl,-s")
    link = plan(tmp_path, ldflags=flags)[-1]
    assert link.inputs == ("build/app/main.c.o", "lib/libx.a")
    assert link.optional == ("lib/liby.so", "lib/liby.a", "lib/libz.so", "lib/libz.a")


def test_two_programs_share_a_source_but_no_object(tmp_path: Path) -> None:
    first, second = plan(tmp_path, program="one"), plan(tmp_path, program="two")
    assert not {step.name for step in first} & {step.name for step in second}
    assert first[0].outputs != second[0].outputs
    assert plan(tmp_path, program="build")[0].outputs == ("objects/build/main.c.o",)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (("src/*.c",), "no C or C++ source matches `src/*.c` in `sources`; expected at least one (.c .cc .cpp .cxx .c++ .C)"),
        (("a.f90",), "`a.f90` in `sources` is neither C nor C++ by its name; expected one of .c .cc .cpp .cxx .c++ .C"),
    ],
)
def test_sources_that_are_none(tmp_path: Path, sources: tuple[str, ...], message: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        plan(tmp_path, sources)
    assert str(caught.value) == f"step 3 (program app): {message}"


def test_another_chefs_declaration_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot plan a ShellDeclaration"):
        CHEF.plan(ShellDeclaration(name="a", run="x"), 0, (), {})


@pytest.mark.parametrize(
    ("exit", "said"),
    [
        (Exit(code=127, error="program not found: cc"), "step cc:app:main.c could not be run: program not found: cc"),
        (Exit(code=-9), "step cc:app:main.c was ended by SIGKILL"),
        (Exit(code=0), "step cc:app:main.c ended, but its depfile cannot be read: it is not there"),
    ],
)
def test_other_ends(tmp_path: Path, exit: Exit, said: str) -> None:
    write(tmp_path, {"main.c": "int main(void) { return 0; }\n"})
    seen = CHEF.observe(plan(tmp_path)[0], RealView(tmp_path, snapshot(tmp_path)), exit)
    assert seen.problems[0].message == said
    assert seen.reads == ("main.c",)


def test_linker_messages(tmp_path: Path) -> None:
    write(tmp_path, {"d.c": "int x;\n"})
    output = (
        b"/usr/bin/ld: a.o:y.c:(.text+0x0): undefined reference to `q'\n/usr/bin/ld: b.o: in function `main':\n"
        b"%s/d.c:1: multiple definition of `x'; first here\n/usr/bin/ld: cannot find -lnope: No such file or directory\n"
        b"cc: error: unrecognized command-line option '-Q'\ncollect2: error: ld returned 1 exit status\n" % str(tmp_path).encode()
    )
    assert problems(output, ".", RealView(tmp_path, {})) == (
        Problem("undefined reference to `q'", "y.c"),
        Problem("multiple definition of `x'; first here", "d.c", 1, "int x;"),
        Problem("cannot find -lnope: No such file or directory"),
        Problem("unrecognized command-line option '-Q'"),
    )


def test_directives_in_all_their_spellings() -> None:
    text = b'#include "a.h"\n # include<b.h>\n%: include "c.h"\n#include_next <d.h>\n#if __has_include ( "e.h" )\n'
    text += b'x #include "f.h"\n#include MACRO\n'
    assert directives(text) == [("a.h", True), ("b.h", False), ("c.h", True), ("d.h", False), ("e.h", True)]


def test_the_search_order_of_options() -> None:
    search = search_of(("cc", "-idirafter", "z", "-I", "b", "-isystems", "-Ia", "-iquoteq"), "sub", "/p")
    assert search.angle == ("sub/b", "sub/a", "sub/s", "/usr/local/include", "sub/z")
    assert search.candidates("m/x.c", "h.h", True)[:3] == ["m/h.h", "sub/q/h.h", "sub/b/h.h"]
    assert search.candidates("m/x.c", "/abs/../h.h", False) == ["/h.h"]


def test_the_fingerprint_follows_compiler_and_packages(tmp_path: Path) -> None:
    step = plan(tmp_path)[0]
    status = tmp_path / "status"
    text = Path("/var/lib/dpkg/status").read_text()
    found = []
    for version in ("1-1", "1-2"):
        before, name, after = text.partition("Package: libc6-dev\n")
        assert name
        head, line, rest = after.partition("\nVersion: ")
        status.write_text(before + name + head + line + version + rest[rest.index("\n") :])
        found.append(CHEF.fingerprint(step, MachineToolbox({**BASE_ENVIRONMENT, "CPODS_DPKG_STATUS": str(status)})))
    found.append(CHEF.fingerprint(step, MachineToolbox({"PATH": str(tmp_path), "CPODS_DPKG_STATUS": str(status)})))
    assert len(set(found)) == 3


def test_readers_see_every_byte(tmp_path: Path) -> None:
    step = plan(tmp_path)[0]
    assert CHEF.filter_for(step, "main.c") == ""
    assert CHEF.filter("", "main.c", b"// x\n") == b"// x\n"
