"""The statements that make an empty catalogue: what schema.py says and all revisions together make, ready to be run.

Knows no SQLAlchemy, which would take 300 ms to say the same. A test compares the two.
"""

_BODIES = "(name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (name))"

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS files (path TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, "
    "inode INTEGER NOT NULL, digest TEXT NOT NULL, checked_ns INTEGER NOT NULL, PRIMARY KEY (path)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS written (path TEXT NOT NULL, step TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (path)) WITHOUT ROWID",
    f"CREATE TABLE IF NOT EXISTS results {_BODIES}",
    f"CREATE TABLE IF NOT EXISTS knots {_BODIES}",
    f"CREATE TABLE IF NOT EXISTS fingerprints {_BODIES}",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name))",
    "CREATE TABLE IF NOT EXISTS artefacts (id INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (id), UNIQUE (digest))",
    "CREATE TABLE IF NOT EXISTS holdings (id INTEGER NOT NULL, size INTEGER NOT NULL, pods BLOB NOT NULL, PRIMARY KEY (id))",
    "CREATE TABLE IF NOT EXISTS pods (id INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (id), UNIQUE (name))",
    "CREATE TABLE IF NOT EXISTS owners "
    "(path TEXT NOT NULL, epoch INTEGER NOT NULL, pod TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (path)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
)
