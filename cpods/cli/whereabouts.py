"""``cpods artefact where``: who owns a file, and who holds that version.

Knows no transfer.
"""

from cpods.cli.asking import show_json
from cpods.cli.desk import told
from cpods.cli.store import human
from cpods.cli.wares import HERE, Ware, wares


def run(folder: str, federation: str, what: str, as_json: bool) -> int:
    """Prints where an artefact is; the exit code."""
    return told(lambda: _where(folder, federation, what, as_json))


async def _where(folder: str, federation: str, what: str, as_json: bool) -> int:
    async with wares(folder, federation) as store:
        ware = await store.find(what)
        held = await store.holders(ware.digest)
        said = await store.said_holders(ware.digest)
        in_folder = bool(ware.path) and store.site.folder.digest(ware.path) == ware.digest
    unsure = [pod for pod in said if pod not in held]
    if as_json:
        show_json(_json(ware, held, unsure, in_folder))
        return 0
    print(ware.name)
    print(f"  digest   {ware.digest}")
    if held:
        print(f"  size     {human(next(iter(held.values())))}")
    if ware.path:
        print(f"  owner    {_owner(ware)}")
    print(f"  holders  {', '.join(sorted(held)) or 'nobody who can be asked'}")
    if unsure:
        print(f"  maybe    {', '.join(unsure)} (held it once, not to be asked now, or it is gone there)")
    if ware.path:
        print(f"  folder   {'has this version' if in_folder else 'has another version, or none'}")
    return 0


def _owner(ware: Ware) -> str:
    if ware.owner is None:
        return f"{HERE} (no step has made it)"
    return f"{ware.owner.pod} (epoch {ware.owner.epoch})"


def _json(ware: Ware, held: dict[str, int], unsure: list[str], in_folder: bool) -> dict[str, object]:
    return {
        "path": ware.path or None,
        "digest": ware.digest,
        "size": next(iter(held.values()), None),
        "owner": ware.owner.pod if ware.owner is not None else None,
        "epoch": ware.owner.epoch if ware.owner is not None else 0,
        "holders": sorted(held),
        "maybe": unsure,
        "in_folder": in_folder,
    }
