#!/usr/bin/env python3
"""A gateway that is restarted all the time, and what those before it notice.

    restart.py hold SOCKET COMMAND…   holds SOCKET as a socket unit does, and hands it to COMMAND;
                                      SIGHUP: ends it and starts the next one; SIGTERM: the end
    restart.py probe URL CA           asks again and again until SIGTERM; then prints the longest time
                                      without an answer that is one, in ms, and what else was answered
    restart.py terminal WORDS COUNT COMMAND…   runs it in a terminal and, once it has printed WORDS,
                                      presses ^C COUNT times, a second apart; prints all, and the end
"""
import http.client
import os
import pty
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.parse


def start(listener, command):
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if listener.fileno() != 3:
            os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execvp(command[0], command)
    return pid


def hold(path, *command):
    signals = [signal.SIGHUP, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(1024)
    while True:
        pid = start(listener, command)
        asked = signal.sigwait(signals)
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        _, status = os.waitpid(pid, 0)
        ms = (time.monotonic() - began) * 1000
        print(f"ended {os.waitstatus_to_exitcode(status)} after {ms:.0f} ms", flush=True)
        if asked == signal.SIGTERM:
            return


def ask(url, context):
    connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=20, context=context)
    try:
        connection.request("OPTIONS", url.path)
        return connection.getresponse().status
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def probe(address, ca):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    url = urllib.parse.urlsplit(address)
    context = ssl.create_default_context(cafile=ca)
    longest, others, answers, last = 0.0, {}, 0, time.monotonic()
    try:
        while True:
            status = ask(url, context)
            if status == 204:
                answers += 1
                longest = max(longest, time.monotonic() - last)
                last = time.monotonic()
            else:
                others[status] = others.get(status, 0) + 1
            time.sleep(0.02)
    finally:
        longest = max(longest, time.monotonic() - last)
        print(f"longest {longest * 1000:.0f} answers {answers} others {others}", flush=True)


def press(terminal, count):
    for i in range(count):
        time.sleep(1.0 if i > 0 else 0)  # nobody's fingers are faster
        os.write(terminal, b"\x03")


def terminal(words, count, *command):
    pid, end = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    said, pressed = b"", None
    while True:
        try:
            said += os.read(end, 4096)
        except OSError:
            break
        if pressed is None and words.encode() in said:
            pressed = time.monotonic()
            threading.Thread(target=press, args=(end, int(count)), daemon=True).start()
    _, status = os.waitpid(pid, 0)
    ms = (time.monotonic() - (pressed or 0)) * 1000
    print(said.decode().replace("\r", ""))
    print(f"ended {os.waitstatus_to_exitcode(status)} after {ms:.0f} ms", flush=True)


{"terminal": terminal, "hold": hold, "probe": probe}[sys.argv[1]](*sys.argv[2:])
