"""What a build that runs something does not load: libraries and parts of our own that it has no use for."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import circle

#: Libraries that each take longer than the rest of a small build's start, and parts of Python's own that nothing here needs.
LIBRARIES = {
    *("sqlalchemy", "alembic", "aiosqlite", "networkx", "typer", "click", "rich", "pydantic", "typing_extensions", "watchfiles"),
    *("asyncssh", "nats", "nkeys", "nacl", "cryptography", "numpy", "blake3", "jsonschema"),
    *("importlib.metadata", "importlib.resources", "email", "urllib.parse", "http", "tempfile", "shutil", "pathlib", "dataclasses"),
    *("random", "secrets", "lzma", "bz2", "_strptime", "multiprocessing", "concurrent.futures.thread", "ssl", "asyncio.sslproto"),
}
PARTS = {
    *("cpods.federated", "cpods.stewarding", "cpods.podserver", "cpods.net", "cpods.steward", "cpods.latexmk", "cpods.preview"),
    *("cpods.store.catalogue", "cpods.store.database", "cpods.store.ownership", "cpods.store.schema", "cpods.store.accounts"),
    *("cpods.cli.app", "cpods.cli.live", "cpods.cli.verify", "cpods.cli.store", "cpods.majordomo.verify", "cpods.scheduler.watcher"),
}
TEX = {"cpods.chefs.latex", "cpods.chefs.context", "cpods.chefs.bibliography", "cpods.chefs.engine", "cpods.chefs.texlog"}

PROBE = "import sys; from cpods.cli import call; code = call(); print(code, *sys.modules, file=sys.stderr)"


def loaded(folder: Path, *arguments: str) -> set[str]:
    """The modules that a call of cpods had loaded at its end; what was run is said before that."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "CPODS_MAJORDOMO": "off"}
    command = [sys.executable, "-c", PROBE, "rebuild", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    *said, modules = done.stderr.splitlines()
    code, *names = modules.split()
    assert code == "0" and said, "nothing was run"
    return set(names)


def check(folder: Path, unwanted: set[str], *arguments: str) -> None:
    """A first build, and one of a changed source."""
    for word in ("1\n", "2\n"):
        (folder / "start.txt").write_text(word)
        found = loaded(folder, *arguments)
        assert found & unwanted == set()
        assert "cpods.store.quickcatalogue" in found


def test_a_shell_step_that_runs_needs_little(tmp_path: Path) -> None:
    text = '[[step]]\nname = "a"\nrun = "cp start.txt mid.txt"\ninputs = ["start.txt"]\noutputs = ["mid.txt"]\n'
    text += '[[step]]\nname = "b"\nrun = "cat mid.txt > end.txt"\ninputs = ["mid.txt"]\noutputs = ["end.txt"]\n'
    (tmp_path / "cpods.toml").write_text(text)
    check(tmp_path, LIBRARIES | PARTS | TEX, "-j2", "--report", "report.json")


def test_deleted_outputs_need_next_to_nothing(tmp_path: Path) -> None:
    text = '[[step]]\nname = "a"\nrun = "cp start.txt mid.txt"\ninputs = ["start.txt"]\noutputs = ["mid.txt"]\n'
    (tmp_path / "cpods.toml").write_text(text)
    check(tmp_path, set())
    (tmp_path / "mid.txt").unlink()
    found = loaded(tmp_path)
    assert (tmp_path / "mid.txt").read_text() == "2\n"
    own = {"cpods.session", "cpods.model", "cpods.digest", "cpods.store.packs", "cpods.store.quickcatalogue"}
    assert found & (LIBRARIES | PARTS | TEX | own | {"msgspec", "sqlite3", "asyncio", "threading", "json", "socket", "signal"}) == set()


def test_nor_does_a_circle_that_is_iterated(tmp_path: Path) -> None:
    (tmp_path / "cpods.toml").write_text(circle("n > 3 ? n : n + 1"))
    check(tmp_path, LIBRARIES | PARTS | TEX, "--until-stable")


def test_nor_a_document(tmp_path: Path) -> None:
    text = "\\documentclass{article}\n\\begin{document}\n\\section{One}\\label{a}\\ref{a} \\input{start.txt}\n\\end{document}\n"
    (tmp_path / "paper.tex").write_text(text)
    check(tmp_path, LIBRARIES | PARTS | {"cpods.chefs.context", "cpods.chefs.compiler"}, "paper.tex")


#: A server and a client that speak TLS, in a process whose asyncio was loaded without it.
TLS = """
import sys
from cpods.cli.lean import load_asyncio
load_asyncio()
import asyncio
assert "ssl" not in sys.modules and "asyncio.sslproto" not in sys.modules
import ssl
from pathlib import Path
from cpods.net.certificates import client_context, new_authority, server_certificate
authority = new_authority("lab")
for name, text in zip(("key.pem", "cert.pem"), server_certificate(authority, ["127.0.0.1"])):
    Path(name).write_text(text)
async def echo(reader, writer):
    writer.write(await reader.readline())
    writer.close()
async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client_context(authority[1]))
    writer.write(b"heard\\n")
    print((await reader.readline()).decode().strip(), writer.get_extra_info("ssl_object").version())
    writer.close()
    server.close()
asyncio.run(main())
import asyncio.sslproto
assert asyncio.sslproto.ssl is ssl
"""


def test_tls_is_there_as_soon_as_somebody_wants_it(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", TLS], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["heard", "TLSv1.3"], done.stderr
