"""A member that was away asks who is a member now: what it missed would make strangers of those who came meanwhile.

Knows no other question.
"""

from cpods.errors import Unavailable
from cpods.net import subjects
from cpods.net.bus import NatsBus
from cpods.net.identity import Home
from cpods.net.membership import RosterNews
from cpods.net.stewardship import AskRoster
from cpods.net.wire import decode, encode

#: Seconds that the steward gets to answer.
ANSWER_SECONDS = 5.0


async def catch_up(home: Home, bus: NatsBus) -> bool:
    """Asks the steward for the roster, right after connecting; home and bus have the newest one then. Raises OSError.

    Whether the steward answered: without it a member goes on with what it knows, and hears of changes when it is back.
    """
    try:
        data = await bus.request(subjects.steward(home.federation.name), encode(AskRoster()), ANSWER_SECONDS)
        bus.update_roster(home.save_roster(decode(data, RosterNews).roster))
    except (Unavailable, TimeoutError):
        return False
    return True
