"""docs/protocol.md says what the code says: its tables are current, complete, and its links lead somewhere."""

import inspect
import os
import re
import subprocess
import sys

import pytest

from cpods.net import membership, messages, questions, stewardship
from cpods.net.wire import Wire

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "protocol.md")
SCRIPT = os.path.join(ROOT, "scripts", "protocol_tables.py")


@pytest.fixture(scope="module")
def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def test_the_tables_are_current():
    ran = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"python scripts/protocol_tables.py writes them anew {ran.stderr}"


def test_every_message_has_its_heading_with_the_kind_that_is_on_the_wire(page):
    for module in (messages, questions, stewardship, membership):
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, Wire) and kind is not Wire and kind.__module__ == module.__name__:
                assert f"#### {kind.__name__} `{kind.__struct_config__.tag}`" in page


def test_links_within_the_page_lead_to_one_heading_each(page):
    headings = [re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in page.splitlines() if line.startswith("#")]
    for anchor in set(re.findall(r"\]\(#([^)]+)\)", page)):
        assert anchor in headings, anchor
        assert headings.index(anchor) == next(place for place, heading in enumerate(headings) if heading == anchor)


@pytest.mark.parametrize("name", ["protocol.md", "federation.md", "security.md"])
def test_links_to_other_pages_lead_to_files(name):
    folder = os.path.join(ROOT, "docs")
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        text = file.read()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert os.path.exists(os.path.join(folder, target)), target
