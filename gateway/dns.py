"""A name's addresses, from the system's resolver and off the loop. Used by `upstream` and by the admin API's test of a provider."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from gateway.connection import Address

Found = list[Address] | OSError


async def look_up(host: str, port: int) -> list[Address]:
    """Raises OSError. In a thread of its own: the few of a pool are soon all with names that nobody answers (twelve of them kept a good
    name waiting for three seconds), and one that hangs would be waited for when the process ends."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def tell(found: Found) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        found = _addresses(host, port)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=ask, name=f"dns {host}", daemon=True).start()
    return await answer


def _addresses(host: str, port: int) -> Found:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError:  # a part of the name is empty, or longer than 63 letters
        return socket.gaierror(socket.EAI_NONAME, "no name of a server")
    return [(int(family), str(address[0]), int(address[1])) for family, _, _, _, address in infos]
