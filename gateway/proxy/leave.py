"""What happens upstream when the client has left: it is closed at once, or read to its end where the provider bills the whole answer
anyway (`on_disconnect: drain`): then the record says what it really cost."""

from __future__ import annotations

import asyncio

from gateway.proxy.call import Call, Plane

MAX_RUNNING_ON = 64
RUN_ON_S = 60.0
"""Nobody reads what runs on: it may not take much of a provider's connections, nor for long."""


def runs_on(plane: Plane, call: Call) -> bool:
    """Asked once, when the client has left: does upstream go on for the record's sake?"""
    reply, target = call.reply, call.target
    if reply is None or target is None or reply.ended:
        return False
    if target.provider.on_disconnect != "drain" or plane.running_on >= MAX_RUNNING_ON:
        return False
    plane.running_on += 1
    call.runs_on = True
    asyncio.get_running_loop().call_later(RUN_ON_S, reply.abort)
    return True
