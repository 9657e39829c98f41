"""Under which address of its own a machine is reached by the others of a federation.

Knows no member and no server.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

#: Where a build serves its store, if not at the address that faces the broker, and at which port, if not at any free one.
HOST_VARIABLE, PORT_VARIABLE = "CPODS_SFTP_HOST", "CPODS_SFTP_PORT"


def facing(broker: str) -> str:
    """The address from which this machine reaches the broker at this URL: loopback for a broker on loopback."""
    url = urlsplit(broker)
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((url.hostname or "127.0.0.1", url.port or 4222))  # sends nothing
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def serving_place(environment: Mapping[str, str], broker: str) -> tuple[str, int]:
    """(host, port) at which a MajorDomo's store is served; port 0 for any free one."""
    port = environment.get(PORT_VARIABLE, "")
    return environment.get(HOST_VARIABLE) or facing(broker), int(port) if port.isdecimal() else 0
