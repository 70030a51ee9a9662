"""gateway - each kind of request that the gateway makes, with each lie about it.

    python3 gateway.py KIND,… [LIE…]   BIN: the folder with uringest, immichd and mklib; T: a folder

Three uploads are complete, and about one of them, or all, the server's place tells lies.  While it does,
nothing is refused for good, no byte that was acknowledged goes, the others are delivered, and the log says
what is wrong within ten seconds.  Then the liar is gone, and everything comes home by itself, once.
"""
import base64
import hashlib
import http.client
import json
import os
import shutil
import sys
import threading
import time

import between
from world import BIN, KEY, ROOM, SLOW, Wrong, immichd, is_stored, make, must, started, tree

SAID_WITHIN_S = 10 * SLOW
OTHERS_WITHIN_S = 30 * SLOW
HOME_WITHIN_S = 90 * SLOW  # after the liar is gone: its pauses grow to a minute
OPTIONS = ["--listen", "127.0.0.1:0", "--keep-free", "0", "--settle-after", "0s", "--suspect-wait", "1s",
           "--answer-wait", "2s"]
VISITS = {"me", "key"}     # asked when somebody comes, before there is an upload
HARMLESS = {               # what is no lie about this kind of request, or one that need not be told
    "no_range": set(between.KINDS) - {"bytes"},
    "other_type": set(between.KINDS),
    "cached": {"version", "me", "key", "check", "asset"},
}



class Gateway:
    """One gateway before the server's place."""

    def __init__(self, home, url):
        self.home, self.url, self.began = home, url, time.monotonic()
        self.log = []
        with open(os.open(os.path.join(home, "seal"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as seal:
            seal.write(os.urandom(32))
        self.start()

    def start(self):
        """Starts, and reads what it says."""
        read, write = os.pipe()
        self.process, self.where = started(
            [f"{BIN}/uringest", "serve", *OPTIONS, "--spool", os.path.join(self.home, "spool"),
             "--immich", self.url, "--seal-key", os.path.join(self.home, "seal")], stderr=write, umask=0o077)
        os.close(write)
        threading.Thread(target=self.listen, args=(read,), daemon=True).start()

    def listen(self, read):
        """Its log, with the time of each line."""
        with os.fdopen(read, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self.log.append((time.monotonic(), line.rstrip()))

    def stop(self):
        """Ends it."""
        self.process.terminate()
        self.process.wait()

    def ask(self, method, path, headers=(), body=None):
        """One request of a client; status, headers, body."""
        connection = http.client.HTTPConnection(*self.where, timeout=60)
        connection.request(method, path, body, {
            "x-api-key": KEY, "Tus-Resumable": "1.0.0", **dict(headers)})
        answer = connection.getresponse()
        got = answer.read()
        connection.close()
        return answer.status, answer.headers, got

    def upload(self, path):
        """One file as a whole; its address, or None and the status."""
        with open(path, "rb") as file:
            body = file.read()
        name = base64.b64encode(os.path.basename(path).encode()).decode()
        status, headers, _ = self.ask("POST", "/uringest/files/", {
            "Upload-Length": str(len(body)), "Upload-Metadata": f"filename {name}"})
        if status != 201:
            return None, status
        where = headers["location"]
        offset = int(headers.get("upload-offset") or 0)
        if offset < len(body):
            status, _, _ = self.ask("PATCH", where, {
                "Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)},
                body[offset:])
            must(status == 204, f"PATCH says {status}")
        return where, status

    def state(self, where):
        """What it says of an upload."""
        status, _, got = self.ask("GET", where + "/status")
        must(status == 200, f"the upload is not there any more ({status})")
        return json.loads(got)


def until(seconds, true):
    """Waits for a condition; whether it came."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def all_upload(gateway, files, cell):
    """Everybody uploads; who is turned away by a lie is told to come again, and comes when it is over."""
    urls, away = {}, []
    for path in files:
        if "victim" in path and cell.kind in between.OF_ONE_FILE:
            must(until(OTHERS_WITHIN_S, lambda: is_home(gateway, urls)), "the first ones do not come home")
        where, status = gateway.upload(path)
        if where is None:
            must(cell.kind in VISITS, f"POST says {status}")
            must(status in (429, 502, 503, 504), f"a client that is told {status} does not come again")
            away.append(path)
        else:
            urls[path] = where
    return urls, away


def is_for_later(kind, lie):
    """What goes on by itself, but not soon: a retry of a day, and what was asked to wait for a day."""
    return lie == "later_429" or (kind, lie) == ("send", "cached")


def holds(gateway, server, urls):
    """What was acknowledged is on the server, or in the spool; nothing is refused."""
    for path, where in urls.items():
        state = gateway.state(where)
        must(state["state"] in ("complete", "delivered", "confirmed"), f"{path}: {state}")
        spooled = os.path.join(gateway.home, "spool", where.rsplit("/", 1)[-1], "bytes")
        with open(path, "rb") as file:
            sha1 = hashlib.sha1(file.read()).hexdigest()
        must(os.path.exists(spooled) or is_stored(server, sha1), f"{path} is lost")


def is_home(gateway, urls):
    """All of them are confirmed."""
    return all(gateway.state(where)["state"] == "confirmed" for where in urls.values())


def lied_to(gateway, server, cell, files):
    """The time of the lies."""
    urls, away = all_upload(gateway, files, cell)
    others = {path: where for path, where in urls.items() if "victim" not in path}
    harmless = cell.kind in HARMLESS.get(cell.lie, ())
    must(until(20 * SLOW, lambda: cell.told > 0), "the lie was never told")
    if cell.kind in between.OF_ONE_FILE:
        must(until(OTHERS_WITHIN_S, lambda: is_home(gateway, others)), "the others wait for one")
    if not harmless and not away:
        told = time.monotonic()
        must(until(SAID_WITHIN_S, lambda: any(
            "does not" in line or "has not" in line or "answers in" in line or "answers 5" in line or "other bytes" in line or
            "no room" in line or "answers 4" in line for _, line in list(gateway.log))) or
             is_home(gateway, urls), f"nothing is said after {time.monotonic() - told:.0f} s")
    holds(gateway, server, urls)
    return urls, away


def try_cell(proxy, server, kind, lie, seed):
    """One kind of request, one lie."""
    name = f"{kind}-{lie}"
    home = os.path.join(ROOM, name)
    folder = os.path.join(home, "in")
    os.makedirs(home)
    make(folder, seed)
    files = sorted(tree(folder).values(), key=lambda path: "victim" in path)
    cell, url = proxy.cell(name, kind, lie)
    gateway = Gateway(home, url)
    try:
        urls, away = lied_to(gateway, server, cell, files)
        lies = cell.told
        proxy.heal(name)
        healed = time.monotonic()
        for path in away:
            must(until(HOME_WITHIN_S, lambda p=path: urls.update({p: gateway.upload(p)[0]}) or
                       urls[p] is not None), f"{path} is still turned away")
        if is_for_later(kind, lie):
            gateway.stop()
            gateway.start()
        must(until(HOME_WITHIN_S, lambda: is_home(gateway, urls)), "it does not come home: " + "; ".join(
            str(gateway.state(where)) for where in urls.values()))
        for sha1 in tree(folder):
            must(is_stored(server, sha1), "confirmed, and not there")
        must(cell.duplicates == 0, f"{cell.duplicates} uploads were sent twice")
    except Wrong as wrong:
        return f"not ok {kind} × {lie}: {wrong}\n    " + "\n    ".join(
            line for _, line in gateway.log[-8:])
    finally:
        gateway.stop()
    shutil.rmtree(home)
    return (f"ok {kind} × {lie}: {lies} lies, {len(away)} turned away, home after "
            f"{time.monotonic() - healed:.1f} s")


def main(kinds, lies):
    """All lies about these kinds of request, at the same time: most of it is waiting."""
    process, server = immichd()
    try:
        with between.Between(server) as proxy:
            return between.try_all(kinds, lies, lambda *cell: try_cell(proxy, server, *cell))
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].split(","), sys.argv[2:]))
