"""The sockets on which a process and its children listen."""

import ipaddress
from contextlib import suppress

import psutil


def listening_beyond_loopback(pid):
    """["name of the process: address:port", …] of all listening sockets that another machine could reach."""
    driver = psutil.Process(pid)
    wide, seen = [], 0
    for process in [driver, *driver.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            for socket in process.net_connections("inet"):
                if socket.status == psutil.CONN_LISTEN:
                    seen += 1
                    address = ipaddress.ip_address(socket.laddr.ip)
                    if not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
                        wide.append(f"{process.name()}: {socket.laddr.ip}:{socket.laddr.port}")
    assert seen > 5, "no process of Ray was looked at"
    return wide
