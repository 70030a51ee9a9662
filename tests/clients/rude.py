"""rude.py - peers that nobody should have, on raw sockets; what comes back goes to stdout.

    python3 rude.py CASE HOST:PORT [ARGUMENT...]        TLS=1 for the port of nginx

    raw          sends what stands on stdin, prints all answers' status lines until the other closes
    each         the requests on stdin, NUL behind each; prints each one's status and Location
    at-once      the same, all at the same time
    create N     N creations on kept-alive connections, pipelined; prints how many were 201, and others
    hold N ID    N connections with half a head and N with half a body, until stdin ends
    under-way N KIB   N uploads under way at once, each with KIB sent; prints how many; until stdin ends
"""
import collections
import os
import re
import selectors
import socket
import ssl
import sys

HEAD = "Host: h\r\nTus-Resumable: 1.0.0\r\n"
BYTES = "Content-Type: application/offset+octet-stream\r\n"


def connect(where):
    """One connection, through TLS when asked."""
    host, port = where.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=60)
    if "TLS" not in os.environ:
        return plain
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


def read_all(sock):
    """All that comes until the other side closes, or says nothing for long."""
    got = b""
    try:
        while piece := sock.recv(65536):
            got += piece
    except (OSError, ssl.SSLError):
        got += b"\n(not closed)\n" if isinstance(sys.exc_info()[1], TimeoutError) else b""
    return got


def raw(where):
    """One conversation that ends when the other side ends it."""
    sock = connect(where)
    sock.settimeout(float(os.environ.get("WAIT", "20")))
    try:
        sock.sendall(sys.stdin.buffer.read())
    except OSError:
        pass
    got = read_all(sock)
    if os.environ.get("WHOLE"):
        sys.stdout.buffer.write(got)
        return
    for line in re.findall(rb"^HTTP/1\.[01] (\d+)|(\(not closed\))", got, re.M):
        print((line[0] or line[1]).decode())


def each(where):
    """The requests on stdin, NUL behind each, one a connection; prints status and Location."""
    for request in sys.stdin.buffer.read().split(b"\0")[:-1]:
        sock = connect(where)
        sock.settimeout(10)
        sock.sendall(request)
        got = read_all(sock)
        status = re.match(rb"HTTP/1.1 (\d+)", got)
        place = re.search(rb"^Location: (\S+)", got, re.M)
        print(status[1].decode() if status else "none", place[1].decode() if place else "")


def at_once(where):
    """As each, but all connections are there before the first request, and all requests before answers."""
    requests = sys.stdin.buffer.read().split(b"\0")[:-1]
    socks = [connect(where) for _ in requests]
    for sock, request in zip(socks, requests):
        sock.sendall(request)
    for sock in socks:
        print(read_all(sock).split(b" ")[1].decode())


def read_answers(stream, count, seen):
    """The status of so many answers, whose bodies are passed over."""
    for _ in range(count):
        status = stream.readline().split()[1].decode()
        seen[status] += 1
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        stream.read(length)


def create(where, count):
    """Creations, a few at a time on one connection."""
    seen = collections.Counter()
    one = f"POST /uringest/files/ HTTP/1.1\r\n{HEAD}Upload-Length: 1000\r\n\r\n".encode()
    sock = connect(where)
    stream = sock.makefile("rb")
    left = int(count)
    while left > 0:
        batch = min(left, 16)
        sock.sendall(one * batch)
        read_answers(stream, batch, seen)
        left -= batch
    print(" ".join(f"{status}:{number}" for status, number in sorted(seen.items())))


def hold(where, count, upload):
    """Slow heads and slow bodies."""
    socks = []
    for _ in range(int(count)):
        sock = connect(where)
        sock.sendall(b"POST /uringest/files/ HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        socks.append(sock)
        sock = connect(where)
        sock.sendall(
            f"PATCH /uringest/files/{upload} HTTP/1.1\r\n{HEAD}{BYTES}Upload-Offset: 7\r\n"
            "Content-Length: 100\r\n\r\nhalf".encode()
        )
        socks.append(sock)
    print(len(socks), flush=True)
    sys.stdin.read()


def under_way(where, count, kib):
    """Uploads that all are in the middle of a PATCH."""
    body = b"x" * (int(kib) << 10)
    waiting = selectors.DefaultSelector()
    socks = []
    for _ in range(int(count)):
        sock = connect(where)
        sock.sendall(
            f"POST /uringest/files/ HTTP/1.1\r\n{HEAD}{BYTES}Upload-Length: {len(body) * 2}\r\n"
            f"Content-Length: {len(body) * 2}\r\n\r\n".encode()
        )
        sock.setblocking(False)
        waiting.register(sock, selectors.EVENT_WRITE, [0])
        socks.append(sock)
    while waiting.get_map():
        for key, _ in waiting.select():
            try:
                key.data[0] += key.fileobj.send(body[key.data[0] : key.data[0] + 65536])
            except (BlockingIOError, ssl.SSLWantWriteError):
                continue
            if key.data[0] >= len(body):
                waiting.unregister(key.fileobj)
    print(len(socks), flush=True)
    sys.stdin.read()


CASES = {"raw": raw, "each": each, "at-once": at_once, "create": create, "hold": hold, "under-way": under_way}
CASES[sys.argv[1]](*sys.argv[2:])
