"""SyncTeX files in the store name no folder; those in a project name its own."""

import gzip

import pytest

from cpods.synctex import local_synctex, portable_synctex


def synctex(root: str) -> bytes:
    """What an engine that ran in ``root`` writes, packed as it packs it."""
    return gzip.compress(f"SyncTeX Version:1\nInput:1:{root}/./paper.tex\nInput:2:{root}/a b/c.tex\nOutput:pdf\n".encode(), 9, mtime=7)


def test_two_folders_give_one_stored_file() -> None:
    stored = portable_synctex(synctex("/home/a/thesis/.cpods/w/k"), "/home/a/thesis/.cpods/w/k")
    assert stored == portable_synctex(synctex("/srv/b"), "/srv/b")
    assert b"/home" not in gzip.decompress(stored)


def test_the_published_file_names_the_project() -> None:
    stored = portable_synctex(synctex("/srv/mirror"), "/srv/mirror")
    assert gzip.decompress(local_synctex(stored, "/home/u")) == gzip.decompress(synctex("/home/u"))


def test_what_context_writes_unpacked_stays_so() -> None:
    plain = gzip.decompress(synctex("/srv/mirror"))
    stored = portable_synctex(plain, "/srv/mirror")
    assert b"/srv" not in stored
    assert local_synctex(stored, "/home/u") == gzip.decompress(synctex("/home/u"))


def test_packing_again_is_the_same_for_the_same_content() -> None:
    stored = portable_synctex(synctex("/srv/mirror"), "/srv/mirror")
    assert portable_synctex(local_synctex(stored, "/home/u"), "/home/u") == stored


def counted(root: str) -> bytes:
    """As :func:`synctex`, with the lines that tell how many bytes lie between them."""
    head = f"SyncTeX Version:1\nInput:1:{root}/./paper.tex\nContent:\n".encode()
    page = f"{{1\nInput:2:{root}/a.aux\nInput:3:{root}/b.aux\n".encode()
    text = head + b"!%d\n" % len(head) + page + b"!%d\n}1\n!7\nInput:4:%s/late\n" % (len(page) + 3, root.encode())
    return gzip.compress(text, 9, mtime=7)


def test_byte_counts_are_right_wherever_the_file_lies() -> None:
    stored = portable_synctex(counted("/home/a/thesis/.cpods/w/k"), "/home/a/thesis/.cpods/w/k")
    assert stored == portable_synctex(counted("/r"), "/r")
    assert gzip.decompress(local_synctex(stored, "/srv/user")) == gzip.decompress(counted("/srv/user"))


@pytest.mark.parametrize("broken", [b"no gzip", synctex("/x")[:20], synctex("/x")[:14] + b"\xff" * 40])
def test_what_a_killed_engine_left_is_kept_as_it_is(broken: bytes) -> None:
    assert portable_synctex(broken, "/x") == broken
    assert local_synctex(broken, "/x") == broken
