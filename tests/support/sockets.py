"""The sockets on which a process and its children listen."""

import ipaddress
from contextlib import suppress

import psutil


def listening_beyond_loopback(pid):
    """["name of the process: address:port", …] of all listening sockets that another machine could reach."""
    driver = psutil.Process(pid)
    wide, seen = [], 0
    for process in [driver, *driver.children(recursive=True)]:
        for name, ip, port in listening(process):
            seen += 1
            address = ipaddress.ip_address(ip)
            if not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
                wide.append(f"{name}: {ip}:{port}")
    assert seen > 5, "no process of Ray was looked at"
    return wide


def listening(process):
    """[(name of the process, address, port), …] of the sockets on which a process listens; [] if it has ended."""
    with suppress(psutil.NoSuchProcess):
        sockets = process.net_connections("inet")
        return [(process.name(), *socket.laddr) for socket in sockets if socket.status == psutil.CONN_LISTEN]
    return []
