"""importer - each kind of request that an import makes, with each lie about it.

    python3 importer.py KIND,… [LIE…]   BIN: the folder with uringest, immichd and mklib; T: a folder

A run that removes is lied to.  Whatever it is told, every picture is on the server or still here; one
picture's trouble stops no other; something is said within ten seconds, and it is over within the time
asked for.  Then the liar is gone, and the next runs bring everything home, once.
"""
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import between
from world import BIN, KEY, ROOM, SLOW, Wrong, immichd, is_stored, make, must, started, told_of, tree

SAID_WITHIN_S = 10 * SLOW
OVER_WITHIN_S = 110 * SLOW  # five tries of 3 s each, pauses of 1 to 16 s, 3 s for a server that is away
RUNS_MAX = 4               # after the liar is gone
OPTIONS = ["--after", "delete", "--server-wait", "3s", "--answer-wait", "3s", "--suspect-wait", "1s",
           "--settle-after", "0s", "--json"]
# What one file's trouble may stop all the same: whoever says "come back tomorrow" means everybody.
STOPS_ALL = {"later_429"}
GREETING = {"version", "me", "key", "types", "libraries"}  # what stands there is no Immich: exit 2
AMENDED = {"amend", "tags", "tagging"}
LARGE = {"discover", "create", "head", "patch"}


def pictures(folder):
    """What should go: a sidecar whose picture was there before stays, for only what was lacking went."""
    return sorted(path for path in tree(folder).values() if not path.endswith(".xmp"))


class Run:
    """One run of uringest: its exit code, what it said, and when it said something first."""

    def __init__(self, home, url, folder, more):
        env = {**os.environ, "HOME": home, "XDG_STATE_HOME": home, "IMMICH_API_KEY": KEY}
        began = time.monotonic()
        self.first_word = None
        self.events, self.words = [], []
        with subprocess.Popen(
                [f"{BIN}/uringest", "import", *OPTIONS, *more, "--server", url, folder],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            reader = threading.Thread(target=self.listen, args=(process.stderr, began))
            reader.start()
            timer = threading.Timer(4 * OVER_WITHIN_S, process.kill)
            timer.start()
            self.events = [json.loads(line) for line in process.stdout]
            reader.join()
            self.code = process.wait()
            timer.cancel()
        self.took = time.monotonic() - began

    def listen(self, stderr, began):
        """Reads stderr as it comes."""
        for line in stderr:
            if self.first_word is None and " files · " not in line:
                self.first_word = time.monotonic() - began
            self.words.append(line.rstrip())

    def said(self):
        """All of it, for people."""
        kept = [f"{e.get('state')}: {e.get('reason')}" for e in self.events if e["event"] == "file"]
        return "\n    ".join([f"exit {self.code} after {self.took:.1f} s", *self.words, *kept])


SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4">
 <dc:subject><rdf:Bag><rdf:li>a tag</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>
"""


def send(home, server, folder):
    """An import that nobody lies to, and that remembers nothing for the next one."""
    env = {**os.environ, "HOME": home, "XDG_STATE_HOME": home, "IMMICH_API_KEY": KEY}
    subprocess.run([f"{BIN}/uringest", "import", "-q", "--ledger", os.path.join(home, "before.db"),
                    "--server", f"http://{server[0]}:{server[1]}", folder], env=env, check=True)


def send_before(home, server, folder):
    """The pictures are there already, and then get sidecars: what amends them is asked."""
    send(home, server, folder)
    for sha1, path in tree(folder).items():
        with open(path + ".xmp", "w", encoding="utf-8") as file:
            file.write(SIDECAR.replace("a tag", f"tag {sha1}"))


def send_stills_before(home, server, folder):
    """Pictures are there already when their movies come: these are linked afterwards."""
    movies = [path for path in tree(folder).values() if not path.lower().endswith((".jpg", ".jpeg"))]
    for path in movies:
        os.rename(path, os.path.join(home, os.path.basename(path)))
    send(home, server, folder)
    for path in movies:
        os.rename(os.path.join(home, os.path.basename(path)), path)


def nothing_is_lost(server, folder, before):
    """Every picture is here or there."""
    here = tree(folder)
    for sha1, path in before.items():
        if path.endswith(".xmp"):
            continue
        must(sha1 in here or is_stored(server, sha1), f"{path} is lost")


def others_went_on(before, folder):
    """One picture's trouble is no other's."""
    here = tree(folder)
    for sha1, path in before.items():
        must("victim" in path or sha1 not in here, f"{path} did not go on")


def comes_home(server, folder, before, once_more):
    """Without the liar everything is sent and removed, in a few runs."""
    for _ in range(RUNS_MAX):
        run = once_more()
        nothing_is_lost(server, folder, before)
        if run.code == 0 and not pictures(folder):
            break
        time.sleep(1)  # a doubt of a second
    left = pictures(folder)
    must(not left, f"still here: {left}\n    {run.said()}")
    must(run.code == 0, run.said())
    for sha1, path in before.items():
        must(path.endswith(".xmp") or is_stored(server, sha1), f"{path} was removed and is not there")


def is_whole(server, kind, before):
    """What was to be said of the pictures arrived, too: who is whose movie, what the sidecars know."""
    for sha1, path in before.items():
        if not path.lower().endswith((".jpg", ".jpeg")):
            continue
        asset = told_of(server, sha1)
        if kind == "link":
            must(asset.get("livePhotoVideoId"), f"{path} is not linked to its movie")
        if kind in AMENDED:
            must((asset.get("exifInfo") or {}).get("rating") == 4, f"{path} has no rating")
            must(any(f"tag {sha1}" in tag["value"] for tag in asset.get("tags") or []), f"{path} has no tag")


def try_cell(proxy, server, kind, lie, seed):
    """One kind of request, one lie."""
    name = f"{kind}-{lie}"
    home = os.path.join(ROOM, name)
    folder = os.path.join(home, "in")
    os.makedirs(home)
    make(folder, seed, "1200K" if kind in LARGE else "2K", ["--live", "100"] if kind == "link" else [])
    if kind in AMENDED:
        send_before(home, server, folder)
    if kind == "link":
        send_stills_before(home, server, folder)
    before = tree(folder)
    cell, url = proxy.cell(name, kind, lie)
    more = ["--resumable-threshold", "1M", "--chunk", "1M", "--tries", "2"] if kind in LARGE else []
    run = Run(home, url, folder, more)
    try:
        must(run.code in (0, 1, 3) or (run.code == 2 and kind in GREETING), "this is no end of a run")
        must(cell.told > 0, "the lie was never told")
        nothing_is_lost(server, folder, before)
        must(run.took <= OVER_WITHIN_S, "too long")
        must(run.took <= SAID_WITHIN_S or (run.first_word or 99) <= SAID_WITHIN_S, "silence")
        if kind in between.OF_ONE_FILE and lie not in STOPS_ALL:
            others_went_on(before, folder)
        left = len(pictures(folder))
        must(run.code != 0 or left == 0, f"{left} files are here and the exit code is 0")
        proxy.heal(name)
        comes_home(server, folder, before, lambda: Run(home, url, folder, more))
        # A replayed answer to a PUT is like a new one: the sidecar stays here, and knows it still.
        if not (kind in AMENDED and lie == "cached"):
            is_whole(server, kind, before)
        must(cell.duplicates == 0, f"{cell.duplicates} uploads were sent twice")
    except Wrong as wrong:
        return f"not ok {kind} × {lie}: {wrong}\n    {run.said()}"
    shutil.rmtree(home)
    return f"ok {kind} × {lie}: exit {run.code} after {run.took:.1f} s, {cell.told} lies, {left} kept"


def main(kinds, lies):
    """All lies about these kinds of request, at the same time: most of it is waiting."""
    process, server = immichd()
    gateway, where = started(
        [f"{BIN}/uringest", "serve", "--listen", "127.0.0.1:0", "--spool", os.path.join(ROOM, "spool"),
         "--immich", f"http://{server[0]}:{server[1]}", "--keep-free", "0", "--settle-after", "0s"],
        stderr=subprocess.DEVNULL, umask=0o077)
    try:
        with between.Between(server, where) as proxy:
            return between.try_all(kinds, lies, lambda *cell: try_cell(proxy, server, *cell))
    finally:
        for one in (gateway, process):
            one.terminate()
            one.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].split(","), sys.argv[2:]))
