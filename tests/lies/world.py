"""world - what both kinds of lies need: a server, pictures, and what must hold."""
import hashlib
import http.client
import json
import os
import subprocess
import threading

BIN = os.environ["BIN"]
ROOM = os.environ["T"]
SLOW = float(os.environ.get("UR_SLOW", "1"))
KEY = "secret-of-the-admin"


class Wrong(Exception):
    """What should not be so."""


def started(command, **more):
    """A server; its address once it listens."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)
    for line in process.stdout:
        if line.startswith("listening on "):
            where = line.split()[-1].rsplit("/", 1)[-1]
            host, port = where.rsplit(":", 1)
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, (host, int(port))
    raise Wrong(f"{command[0]} ended")


def ask(server, method, path, body=None):
    """The server itself, without anybody between."""
    connection = http.client.HTTPConnection(*server, timeout=60)
    headers = {"x-api-key": KEY, "content-type": "application/json"}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse().read()
    connection.close()
    return answer


def asset_of(server, sha1):
    """The id of the asset with this SHA-1, or None."""
    check = {"assets": [{"id": "0", "checksum": sha1}]}
    found = json.loads(ask(server, "POST", "/api/assets/bulk-upload-check", check))["results"][0]
    return None if found["action"] == "accept" else found["assetId"]


def is_stored(server, sha1):
    """The server gives bytes of this SHA-1 back."""
    asset = asset_of(server, sha1)
    if asset is None:
        return False
    return hashlib.sha1(ask(server, "GET", f"/api/assets/{asset}/original")).hexdigest() == sha1


def told_of(server, sha1):
    """What the server says of the asset with this SHA-1."""
    return json.loads(ask(server, "GET", f"/api/assets/{asset_of(server, sha1)}"))


def tree(folder):
    """All files below a folder: SHA-1 -> path, in staging folders too."""
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                found[hashlib.sha1(file.read()).hexdigest()] = path
    return found


def must(true, what):
    """Says what is wrong."""
    if not true:
        raise Wrong(what)


def immichd():
    """A server of our own; its process and its address."""
    return started([f"{BIN}/immichd", "--listen", "127.0.0.1:0", "--data", os.path.join(ROOM, "server"),
                    "--key", KEY, "--quiet", "--extract-delay", "20"])


def make(folder, seed, size="2K", more=()):
    """Three pictures, of which one is the victim."""
    subprocess.run([f"{BIN}/mklib", folder, "--count", "3", "--size", size, "--kinds", "jpeg",
                    "--seed", str(seed), "--per-dir", "9", *more], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    names = sorted(os.path.join(at, name) for at, _, files in os.walk(folder) for name in files)
    stem = os.path.splitext(names[0])[0]
    for name in names:
        if os.path.splitext(name)[0] == stem:
            os.rename(name, os.path.join(os.path.dirname(name),
                                         "victim" + os.path.splitext(name)[1]))
