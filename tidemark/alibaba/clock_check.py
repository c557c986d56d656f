"""Whether this machine's clock agrees with the service's: machines that share leases must agree.

When a lease has expired is told by whoever looks. A clock that is ahead makes live leases look
expired, and one that is behind makes leases that expire before their owner renews them.
"""

from __future__ import annotations

from tidemark.alibaba.channel import Channel
from tidemark.errors import RefusedError

__all__ = ["MOST_APART_S", "ClocksDiffer", "check_clock"]

MOST_APART_S = 60.0
"""How far this machine's clock may be from the service's where leases are made or ended."""


class ClocksDiffer(RefusedError):
    """This machine's clock is too far from the service's to make or end leases by it."""


def check_clock(channel: Channel) -> None:
    """Compare the clock with the date of the service's last answer.

    A service that told no date is believed to agree. Raises ClocksDiffer.
    """
    ahead_s = channel.clock_ahead_s
    if ahead_s is None or abs(ahead_s) <= MOST_APART_S:
        return
    way = "ahead of" if ahead_s > 0 else "behind"
    raise ClocksDiffer(
        f"is {abs(ahead_s):.0f} s {way} the service's, and may be {MOST_APART_S:.0f} s off",
        "this machine's clock",
        "Synchronise it with a time server, as by `timedatectl set-ntp true`, and try again",
    )
