"""Hears from Signet which access tokens are dead before their time. Needs the standard library
only; access_tokens.py beside it says how a token is verified. Copy both.

A thread takes the signed snapshot of all revocations, then follows the stream of changes. It comes
back by itself after an outage, and `age` tells how long nothing is known for certain.
"""

import json
import logging
import math
import random
import threading
import time
import urllib.error
import urllib.request

log = logging.getLogger(__name__)

# What is longer than this is not Signet's, or not meant to be held in memory.
LONGEST_SNAPSHOT = 64 * 1024 * 1024
LONGEST_EVENT = 1024 * 1024
# Members of an entry, and the claim that it is about. What a newer Signet may add is passed over.
SHAPES = {
    frozenset({"sid", "exp"}): "sid",
    frozenset({"jti", "exp"}): "jti",
    frozenset({"kid", "exp"}): "kid",
    frozenset({"sub", "before", "exp"}): "sub",
    frozenset({"client_id", "before", "exp"}): "client_id",
}


class Revocations:
    """`verify(jws, typ)` returns the claims of what Signet signed, or raises. `headers()` gives the
    headers of requests, for a Signet that tells only clients with the scope revocations:read."""

    def __init__(self, issuer, metadata, verify, max_staleness=10.0, headers=dict):
        self._snapshot_uri = metadata.get("revocations_uri", f"{issuer}/revocations")
        self._stream_uri = metadata.get("revocations_stream_uri", f"{issuer}/revocations/stream")
        self._verify = verify
        self._headers = headers
        # A connection that is silent for so long is dead. Heartbeats come every 2 seconds.
        self._silence = max_staleness / 2
        self._entries = {}  # (claim, value): (before, exp)
        self._epoch, self._seq, self._etag = None, 0, None
        self._known_at = -math.inf  # all that had happened until then is known
        self._asked_at = -math.inf
        self._purged_at = 0.0
        self._first = threading.Event()

    def start(self):
        """Begins to listen, and waits a little for the first snapshot."""
        threading.Thread(target=self._run, name="revocations", daemon=True).start()
        self._first.wait(self._silence)

    def age(self):
        """Seconds for which something may have been missed."""
        return time.monotonic() - self._known_at

    def covers(self, claims, kid):
        """Whether the token with these claims, signed by the key `kid`, is revoked."""
        entries = self._entries
        for claim in ("sid", "jti", "sub", "client_id"):
            before, _ = entries.get((claim, claims.get(claim)), (-math.inf, 0))
            if claims["iat"] < before:
                return True
        return ("kid", kid) in entries

    def _run(self):
        pause, behind = 1.0, True
        while True:
            try:
                if behind:
                    # At the start, and as long as there is no stream to be had.
                    self._take_snapshot()
                behind = True  # unless an event is heard
                with self._open(self._stream_uri, {"Last-Event-ID": str(self._seq)}) as stream:
                    for name, data in events(stream):
                        self._hear(name, data)
                        pause, behind = 1.0, False
                log.info("the stream of revocations ended")
            except Exception as error:
                log.warning("no stream of revocations: %s", error)
            # Not everybody at once, and not for long: what is not heard is not known.
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, max(1.0, self._silence / 2))

    def _hear(self, name, data):
        now = time.monotonic()
        if name == "revocation":
            change = self._verify(data, "secevent+jwt")
            # Whatever else is missing, this much is true.
            self._add(self._entries, change["revocations"])
            same = change["epoch"] == self._epoch
            if same and change["seq"] == self._seq + 1:
                self._seq += 1
            elif not same or change["seq"] > self._seq:
                self._catch_up(now)
        elif name in ("snapshot", "heartbeat"):
            state = json.loads(data)
            if state["epoch"] != self._epoch or state["seq"] > self._seq:
                self._catch_up(now)
            elif name == "heartbeat":
                self._known_at = max(self._known_at, now - max(0.0, state["age"]))
                self._purge(now)

    def _catch_up(self, now):
        # Not more than once a second, however much is missing. The next heartbeat reminds of it.
        if now > self._asked_at + 1.0:
            self._take_snapshot()

    def _take_snapshot(self):
        self._asked_at = start = time.monotonic()
        try:
            answer = self._open(self._snapshot_uri, {"If-None-Match": self._etag} if self._etag else {})
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 304:
                raise
            self._known_at = start - float(error.headers.get("Age", 0))
            return
        with answer:
            body = bytearray()
            while chunk := answer.read(65536):
                body += chunk
                if len(body) > LONGEST_SNAPSHOT or time.monotonic() > start + 60:
                    raise ValueError("the snapshot does not end")
        snapshot = self._verify(body.decode("ascii"), "revocations+jwt")
        # Entries are never taken back, and another instance may lag a little. Another epoch is
        # another history.
        same = snapshot["epoch"] == self._epoch
        entries = self._entries if same else {}
        self._add(entries, snapshot["revocations"])
        self._entries = entries
        self._epoch, self._seq = snapshot["epoch"], snapshot["seq"]
        self._etag = answer.headers.get("ETag")
        self._known_at = start - float(answer.headers.get("Age", 0))
        self._first.set()

    @staticmethod
    def _add(entries, revocations):
        for entry in revocations:
            if claim := SHAPES.get(frozenset(entry)):
                key = (claim, entry[claim])
                before, exp = entries.get(key, (-math.inf, 0))
                before = max(before, entry.get("before", math.inf))
                entries[key] = (before, max(exp, entry["exp"]))

    def _purge(self, now):
        if now < self._purged_at + 60:
            return
        self._purged_at, wall = now, time.time()
        # Keys stay: a library may hold on to one for longer than Signet publishes it.
        kept = {k: v for k, v in self._entries.items() if v[1] > wall or k[0] == "kid"}
        self._entries = kept

    def _open(self, uri, headers):
        request = urllib.request.Request(uri, headers={**self._headers(), **headers})
        return urllib.request.urlopen(request, timeout=self._silence)


def events(stream):
    """Server-sent events (WHATWG HTML 9.2): the name and the data of each."""
    name, data, size = "message", [], 0
    while line := stream.readline(LONGEST_EVENT + 1):
        size += len(line)
        if size > LONGEST_EVENT:
            raise ValueError("an event does not end")
        line = line.decode("utf-8").rstrip("\r\n")
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif not field:
                size = 0  # a comment keeps the connection alive, and there may be many
            continue
        if data:
            yield name, "\n".join(data)
        name, data, size = "message", [], 0
