"""The catalogue's tables, and nothing else.

Knows no query. A change here needs a new revision in migrations/versions and a new HEAD_REVISION.
"""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

#: What stat said of a file, and its digest then.
files = Table(
    "files",
    metadata,
    Column("path", Text, primary_key=True, nullable=False),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("ctime_ns", Integer, nullable=False),
    Column("inode", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("checked_ns", Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: Generated files: which step wrote what.
written = Table(
    "written",
    metadata,
    Column("path", Text, primary_key=True, nullable=False),
    Column("step", Text, nullable=False),
    Column("digest", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: The last result of each step, of each knot, and fingerprints of tools: msgpack of the structs in cpods.model and cpods.ports.
results = Table("results", metadata, Column("name", Text, primary_key=True, nullable=False), Column("body", LargeBinary, nullable=False))
knots = Table("knots", metadata, Column("name", Text, primary_key=True, nullable=False), Column("body", LargeBinary, nullable=False))
fingerprints = Table(
    "fingerprints", metadata, Column("name", Text, primary_key=True, nullable=False), Column("body", LargeBinary, nullable=False)
)

#: Anything else that is remembered by name.
facts = Table("facts", metadata, Column("name", Text, primary_key=True, nullable=False), Column("value", Text, nullable=False))

#: Artefacts by integer id, in order of creation, so that a step's inputs lie near each other.
artefacts = Table("artefacts", metadata, Column("id", Integer, primary_key=True), Column("digest", Text, nullable=False, unique=True))

#: Size and holders of each artefact: two bytes (little-endian pod id) per holder, in ascending order.
holdings = Table(
    "holdings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("pods", LargeBinary, nullable=False),
)
pods = Table("pods", metadata, Column("id", Integer, primary_key=True), Column("name", Text, nullable=False, unique=True))

#: The one pod whose version of a path counts.
owners = Table(
    "owners",
    metadata,
    Column("path", Text, primary_key=True, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("pod", Text, nullable=False),
    Column("digest", Text, nullable=False),
    sqlite_with_rowid=False,
)
