"""Opens streams from an address that is then removed, so that no packet passes any more and neither end is notified.

Runs the program in its arguments, in a network of its own (unshare --net). Exits with 0 when the service has noticed.
"""

import fcntl
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.request

SERVER, CLIENT, DEBUG = ("10.0.0.1", 9135), "192.168.0.1", "127.0.0.1:9139"
STREAMS = 2
# The kernel's own timeout is a quarter of an hour.
DEADLINE_SECONDS = 60

SIOCSIFFLAGS, SIOCSIFADDR, UP_AND_RUNNING, RUNNING = 0x8914, 0x8916, 0x41, 0x40


def of_interface(request, name, value):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, request, struct.pack("16s24s", name.encode(), value))


def set_flags(name, flags):
    of_interface(SIOCSIFFLAGS, name, struct.pack("=H", flags))


def add_address(name, address):
    of_interface(SIOCSIFADDR, name, struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(address)))


def metrics():
    try:
        page = urllib.request.urlopen(f"http://{DEBUG}/metrics", timeout=10).read().decode()
    except OSError as error:
        return f"no metrics: {error}"
    return "\n".join(line for line in page.splitlines() if line.startswith("sse_connections"))


def wait_for(streams):
    began = time.monotonic()
    while f"sse_connections {streams}" not in metrics().splitlines():
        if time.monotonic() - began > DEADLINE_SECONDS:
            sys.exit(f"never so many streams: {streams}\n{metrics()}")
        time.sleep(0.1)


def follow():
    stream = socket.create_connection(SERVER, source_address=(CLIENT, 0))
    certificate = os.environ.get("OCIS_HTTP_TLS_CERTIFICATE")
    if certificate:
        known = ssl.create_default_context(cafile=certificate)
        stream = known.wrap_socket(stream, server_hostname="localhost")
    stream.sendall(f"GET /sse HTTP/1.1\r\nhost: a\r\nx-access-token: {os.environ['TOKEN']}\r\n\r\n".encode())
    return stream


set_flags("lo", UP_AND_RUNNING)
add_address("lo:1", SERVER[0])
add_address("lo:2", CLIENT)
with subprocess.Popen(sys.argv[1:]) as service:
    try:
        wait_for(0)
        streams = [follow() for _ in range(STREAMS)]
        wait_for(STREAMS)
        # The address of an alias that is down does not exist. Its sockets stay.
        set_flags("lo:2", RUNNING)
        wait_for(0)
    finally:
        service.kill()
