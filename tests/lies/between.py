"""between - a proxy that stands before the server and lies about one kind of request.

    with Between(server) as between:
        url = between.cell("3", "send", "page_403")      # below it everything else passes
        between.heal("3")

A lie is told where its kind of request comes by; of what belongs to one file, only about a file whose
name has `victim` in it, so that it shows whether the others go on.
"""
import concurrent.futures
import http.client
import http.server
import re
import socket
import threading

PAGE = (b"<!DOCTYPE html><html><head><title>Portal</title></head>"
        b"<body><h1>One moment, please</h1></body></html>")
ID = r"[0-9a-f-]{36}"
# What is asked, in order of a run: kind -> method, path.
KINDS = {
    "version": ("GET", r"/api/server/version"),
    "me": ("GET", r"/api/users/me"),
    "key": ("GET", r"/api/api-keys/me"),
    "types": ("GET", r"/api/server/media-types"),
    "libraries": ("GET", r"/api/libraries"),
    "check": ("POST", r"/api/assets/bulk-upload-check"),
    "send": ("POST", r"/api/assets"),
    "asset": ("GET", rf"/api/assets/{ID}"),
    "bytes": ("GET", rf"/api/assets/{ID}/original"),
    "link": ("PUT", rf"/api/assets/{ID}"),
    "amend": ("PUT", r"/api/assets"),
    "tags": ("PUT", r"/api/tags"),
    "tagging": ("PUT", r"/api/tags/assets"),
    "discover": ("OPTIONS", r"/uringest/files/?"),
    "create": ("POST", r"/uringest/files/?"),
    "head": ("HEAD", r"/uringest/files/[^/]+"),
    "patch": ("PATCH", r"/uringest/files/[^/]+"),
}
OF_ONE_FILE = {"send", "asset", "bytes"}
PAGES = (200, 401, 403, 404, 413, 500, 502)
LIES = ([f"page_{status}" for status in PAGES] +
        ["redirect_302", "redirect_308", "later_429", "drip", "cut", "no_range", "other_type",
         "other_shape", "cached"])
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "expect"}


class Cell:
    """What is known of one run: its lie, whom it is about, and what came by."""

    def __init__(self, kind, lie):
        self.kind, self.lie = kind, lie
        self.victims = set()  # asset ids
        self.cached = {}
        self.told = 0         # lies
        self.created = 0      # what the server stored
        self.duplicates = 0   # what it was sent and had already


def kind_of(method, path):
    """The kind of a request, or None."""
    path = path.split("?")[0]
    for kind, (its_method, pattern) in KINDS.items():
        if method == its_method and re.fullmatch(pattern, path):
            return kind
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Nothing is logged: the cells tell."""

    def read_body(self):
        """The whole body, however it is framed."""
        if self.headers.get("transfer-encoding"):
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return body
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def say(self, status, headers, body, cut=False):
        """Answers; `cut` breaks off in the middle of the body."""
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def page(self, status, more=()):
        """What a proxy shows people."""
        self.say(status, [("Content-Type", "text/html; charset=utf-8"), *more], PAGE)

    def drip(self):
        """An answer that never ends, a byte at a time."""
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.over.wait(0.2):
            self.wfile.write(b" ")
            self.wfile.flush()
        self.close_connection = True

    def forward(self, path, body, drop_range=False):
        """The server's own answer."""
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        if drop_range:
            headers = {k: v for k, v in headers.items() if k.lower() != "range"}
        host, port = self.server.behind
        if path.startswith("/uringest/") and self.server.gateway:
            host, port = self.server.gateway
        upstream = http.client.HTTPConnection(host, port, timeout=60)
        try:
            upstream.request(self.command, path, body if body or self.command in
                             ("POST", "PUT", "PATCH") else None, headers)
            answer = upstream.getresponse()
            got = answer.read()
        finally:
            upstream.close()
        return answer.status, [(k, self.here(k, v)) for k, v in answer.getheaders()
                               if k.lower() not in HOP], got

    def here(self, name, value):
        """What names a place below us names it as it is reached: below the cell's folder."""
        if name.lower() == "location" and value.startswith("/"):
            return "/" + self.path.split("/", 2)[1] + value
        return value

    def note(self, cell, kind, body, answer):
        """Remembers what the server said of an upload."""
        if kind != "send":
            return
        status, _, got = answer
        named = re.search(rf'"id":\s*"({ID})"'.encode(), got)
        with self.server.lock:
            cell.created += status == 201
            cell.duplicates += status == 200
            if named and b"victim" in body[:4096]:
                cell.victims.add(named.group(1).decode())

    def is_lied_about(self, cell, kind, path, body):
        """Is this request one that the cell's lie is about?"""
        if kind is None or kind != cell.kind:
            return False
        if kind == "send":
            return b"victim" in body[:4096]
        return kind not in OF_ONE_FILE or any(one in path for one in cell.victims)

    def lie(self, cell, kind, path, body):
        """Tells the cell's lie in place of the server."""
        with self.server.lock:
            cell.told += 1
        what = cell.lie
        if what.startswith("page_"):
            self.page(int(what[5:]))
        elif what.startswith("redirect_"):
            self.page(int(what[9:]), [("Location", f"/{cell.name}/login")])
        elif what == "later_429":
            self.page(429, [("Retry-After", "86400")])
        elif what == "drip":
            self.drip()
        elif what == "no_range":
            answer = self.forward(path, body, drop_range=True)
            self.note(cell, kind, body, answer)
            self.say(*answer)
        else:
            self.twist(cell, kind, path, body)

    def twist(self, cell, kind, path, body):
        """The server did it, and what comes back is not what it said."""
        key = path.split("?")[0]
        if cell.lie == "cached" and cell.cached.get(key):
            status, headers, got = cell.cached[key]
            self.say(status, [*headers, ("Age", "60"), ("X-Cache", "HIT")], got)
            return
        answer = self.forward(path, body)
        self.note(cell, kind, body, answer)
        status, headers, got = answer
        foreign = [(k, v) for k, v in headers if k.lower() not in
                   ("content-type", "x-immich-cid", "x-correlation-id")]
        if cell.lie == "cut":
            self.say(status, headers, got, cut=True)
        elif cell.lie == "other_type":
            self.say(status, [*foreign, ("Content-Type", "text/plain")], got)
        elif cell.lie == "other_shape":
            self.say(status, [*foreign, ("Content-Type", "application/json")], b'{"ok": true}')
        else:
            cell.cached[key] = answer
            self.say(*answer)

    def answer(self):
        """One request of a client."""
        _, name, rest = self.path.split("/", 2)
        path = "/" + rest
        body = self.read_body()
        cell = self.server.cells.get(name)
        if cell is None:
            self.page(404)
            return
        kind = kind_of(self.command, path)
        try:
            if path == "/login":
                self.page(200)
            elif cell.kind == "head" and kind == "patch" and path not in cell.cached:
                cell.cached[path] = None  # a line that breaks, so that the gateway is asked how far it came
                self.close_connection = True
            elif self.is_lied_about(cell, kind, path, body):
                self.lie(cell, kind, path, body)
            else:
                answer = self.forward(path, body)
                self.note(cell, kind, body, answer)
                if cell.lie == "cached" and kind == cell.kind == "send":
                    cell.cached.setdefault(path, answer)  # another file's, for the victim
                self.say(*answer)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_HEAD = do_DELETE = do_OPTIONS = answer


class Server(http.server.ThreadingHTTPServer):
    """The proxy's socket and what its handlers share."""
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client that leaves is nothing to print about."""


class Between:
    """The proxy, for as long as a `with` lasts."""

    def __init__(self, behind, gateway=None):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.behind, self.server.gateway = behind, gateway
        self.server.cells, self.server.lock = {}, threading.Lock()
        self.server.over = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.over.set()
        self.server.shutdown()
        self.server.server_close()

    def cell(self, name, kind, lie):
        """The address below which this lie is told."""
        cell = Cell(kind, lie)
        cell.name = name
        self.server.cells[name] = cell
        return cell, f"http://127.0.0.1:{self.server.server_port}/{name}"

    def heal(self, name):
        """From now on everything passes."""
        self.server.cells[name].kind = None


def try_all(kinds, lies, try_cell):
    """Every lie about every kind, a line each as it is known; whether one went wrong."""
    cells = [(kind, lie, 1000 * list(KINDS).index(kind) + number) for number, lie in enumerate(LIES)
             for kind in kinds if not lies or lie in lies]
    wrong = False
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        for done in concurrent.futures.as_completed(pool.submit(try_cell, *cell) for cell in cells):
            said = done.result()
            wrong = wrong or said.startswith("not ok")
            print(said, flush=True)
    return wrong
