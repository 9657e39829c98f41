"""What runs for one session of the private sshd: confines itself to the objects, then serves SFTP or packs.

Knows no key and no member beyond a name, and imports the standard library alone: it starts with every session.
"""

import os
import socket
import struct
import sys

from cpods.net.landlock import EXECUTE, READ_DIR, READ_FILE, WRITE_FILE, restrict
from cpods.net.pack import MEMBERS_MAX, Name, members, name_of

#: The two things that a session may ask for.
SFTP, PACK = "cpods-sftp", "cpods-pack"

#: A request for a pack: this length, then digests, one a line.
REQUEST_LENGTH = struct.Struct(">I")
REQUEST_BYTES_MAX = MEMBERS_MAX * 72

#: All that OpenSSH's sftp-server is left of its protocol.
SFTP_REQUESTS = "open,close,read,lstat,stat,fstat,realpath,limits"

CONTROL, ADMITTED = "control", b"+"

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/libexec", "/lib", "/lib64")
_FILES = ("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/passwd", "/etc/nsswitch.conf")


def main(run: str, store: str, sftp_server: str, member: str) -> int:
    """Serves one session of ``member``; the exit code. ``run``: the folder of the sshd that started this."""
    wanted = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    if wanted not in (SFTP, PACK):
        print("this server shows a store's objects by SFTP, nothing else", file=sys.stderr)
        return 1
    control = _report(run, member)
    if control is None:
        return 1
    objects = os.path.join(store, "objects")
    if wanted == PACK:
        restrict([(objects, READ_FILE | READ_DIR)])
        return _serve_packs(objects, control)
    os.dup2(control.fileno(), 2)  # there sftp-server tells what it has sent
    restrict(
        [(objects, READ_FILE), ("/dev/null", READ_FILE | WRITE_FILE)]
        + [(folder, READ_FILE | READ_DIR | EXECUTE) for folder in _LIBRARIES]
        + [(file, READ_FILE) for file in _FILES]
    )
    os.execv(sftp_server, [sftp_server, "-e", "-l", "INFO", "-R", "-p", SFTP_REQUESTS, "-d", store.replace("%", "%%")])


def _report(run: str, member: str) -> socket.socket | None:
    """The line to the process that leads this sshd, which may say no. It never makes this process wait afterwards."""
    control = socket.socket(socket.AF_UNIX)
    control.connect(os.path.join(run, CONTROL))
    control.sendall(member.encode() + b"\n")
    if control.recv(1) != ADMITTED:
        return None
    control.setblocking(False)
    return control


def _serve_packs(objects: str, control: socket.socket) -> int:
    """Answers requests one after the other until the client ends."""
    folder = os.open(objects, os.O_RDONLY | os.O_DIRECTORY)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(REQUEST_LENGTH.size)) == REQUEST_LENGTH.size:
        length = REQUEST_LENGTH.unpack(head)[0]
        if length > REQUEST_BYTES_MAX:
            return 1
        sent = 0
        for piece in members(folder, _names(source.read(length).decode("ascii", "replace"))):
            target.write(piece)
            sent += len(piece)
        target.flush()
        _tell(control, sent)
    return 0


def _names(text: str) -> list[Name]:
    """Digests as names; what is no digest becomes a name that no object has."""
    names = [name_of(digest) for digest in text.split("\n")]
    return [(a, h) if a in ("xxh3", "blake3") and len(h) > 2 and h.isalnum() else ("xxh3", "none") for a, h in names]


def _tell(control: socket.socket, sent: int) -> None:
    try:
        control.send(b'close "pack" bytes read %d written 0\r\n' % sent)
    except BlockingIOError:
        return  # a count that is lost; better than a client that waits
