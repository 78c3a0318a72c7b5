"""Follows Signet's feed of access tokens that end before they expire. Needs the standard library
only; access_tokens.py beside it says how a token is verified. Copy both.

A thread takes the signed snapshot of all revocations, then follows the stream of changes. It
recovers automatically after an outage, and `age` returns how old its knowledge is.
"""

import json
import logging
import math
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

log = logging.getLogger(__name__)

# What is longer than this is not Signet's, or not meant to be held in memory.
LONGEST_SNAPSHOT = 64 * 1024 * 1024
LONGEST_EVENT = 1024 * 1024
# More histories than this are not Signet's.
MOST_LANES = 64
# Members of an entry, and the claim that it is about. What a newer Signet may add is passed over.
SHAPES = {
    frozenset({"sid", "exp"}): "sid",
    frozenset({"jti", "exp"}): "jti",
    frozenset({"kid", "exp"}): "kid",
    frozenset({"sub", "before", "exp"}): "sub",
    frozenset({"client_id", "before", "exp"}): "client_id",
}


class TooLarge(Exception):
    """The snapshot is longer than LONGEST_SNAPSHOT."""


class Lane:
    """One of the histories that the feed consists of, each with numbers of its own. There is one,
    "0", and there may be more."""

    def __init__(self, known_at):
        self.entries = {}  # (claim, value): (before, exp)
        self.epoch, self.seq, self.etag = None, 0, None
        self.known_at = known_at  # all that had happened until then is known
        self.ask_from = -math.inf  # when the snapshot may be asked for again


class Revocations:
    """`verify(jws, typ)` returns the claims of what Signet signed for its feed, or raises. `headers()`
    gives the headers of requests, for a feed that is open only to clients with the
    scope revocations:read."""

    def __init__(self, issuer, metadata, verify, max_staleness=10.0, headers=dict):
        self._snapshot_uri = metadata.get("revocations_uri", f"{issuer}/revocations")
        self._stream_uri = metadata.get("revocations_stream_uri", f"{issuer}/revocations/stream")
        self._verify = verify
        self._headers = headers
        # A connection that is silent for this long is dead. Heartbeats come every 2 seconds.
        self._silence = max_staleness / 2
        self._lanes = {"0": Lane(-math.inf)}
        self._names_lanes = False  # the previous version of Signet does not
        self._purged_at = 0.0
        self._first = threading.Event()

    def start(self):
        """Begins to listen, and waits a little for the first snapshot."""
        threading.Thread(target=self._run, name="revocations", daemon=True).start()
        self._first.wait(self._silence)

    def age(self):
        """Seconds for which something may have been missed."""
        return time.monotonic() - min(lane.known_at for lane in list(self._lanes.values()))

    def covers(self, claims, kid):
        """Whether the token with these claims, signed by the key `kid`, is revoked."""
        for lane in list(self._lanes.values()):
            entries = lane.entries
            for claim in ("sid", "jti", "sub", "client_id"):
                before, _ = entries.get((claim, claims.get(claim)), (-math.inf, 0))
                if claims["iat"] < before:
                    return True
            if ("kid", kid) in entries:
                return True
        return False

    def _run(self):
        pause, behind = 1.0, True
        while True:
            try:
                if behind:
                    # At the start, and as long as there is no stream to be had.
                    for name in list(self._lanes):
                        self._take_snapshot(name)
                behind = True  # unless an event arrives
                # Signet sends the positions of the other lanes.
                last = ("0:" if self._names_lanes else "") + str(self._lanes["0"].seq)
                with self._open(self._stream_uri, {"Last-Event-ID": last}) as stream:
                    for name, data in events(stream):
                        self._hear(name, data)
                        pause, behind = 1.0, False
                log.info("the stream of revocations ended")
            except Exception as error:
                log.warning("no stream of revocations: %s", error)
            # Not all followers reconnect at the same time, or wait long: they miss changes.
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, max(1.0, self._silence / 2))

    def _hear(self, event, data):
        now = time.monotonic()
        if event == "revocation":
            change = self._verify(data, "secevent+jwt")
            name, lane = self._lane(change)
            # Whatever else is missing, this much is true.
            self._add(lane.entries, change["revocations"])
            first, last = change.get("first_seq", change["seq"]), change["seq"]
            same = change["epoch"] == lane.epoch
            if same and first <= lane.seq + 1:
                lane.seq = max(lane.seq, last)
            elif not same or last > lane.seq:
                self._catch_up(name, now)
        elif event in ("snapshot", "heartbeat"):
            state = json.loads(data)
            self._names_lanes = "lane" in state
            name, lane = self._lane(state)
            if state["epoch"] != lane.epoch or state["seq"] > lane.seq:
                self._catch_up(name, now)
            elif event == "heartbeat":
                lane.known_at = max(lane.known_at, now - max(0.0, state["age"]))
                self._purge(now)
            for other in list(self._lanes):
                # One that is silent may have ended.
                if other != name and now - self._lanes[other].known_at > self._silence:
                    self._catch_up(other, now)

    def _lane(self, document):
        name = document.get("lane", "0")
        if name not in self._lanes:
            if not isinstance(name, str) or len(self._lanes) >= MOST_LANES:
                raise ValueError("a lane that is none, or one too many")
            # Nothing of it was missed that was not missed of the others. Its snapshot comes next.
            self._lanes[name] = Lane(min(lane.known_at for lane in self._lanes.values()))
        return name, self._lanes[name]

    def _catch_up(self, name, now):
        # Not more than once a second, however much is missing. The next heartbeat reminds of it.
        if now > self._lanes[name].ask_from:
            self._take_snapshot(name)

    def _take_snapshot(self, name):
        lane, start = self._lanes[name], time.monotonic()
        lane.ask_from = start + 1.0
        # The first lane has no name for the previous version of Signet, which has no others.
        query = "" if name == "0" else "?lane=" + urllib.parse.quote(name, safe="")
        headers = {"If-None-Match": lane.etag} if lane.etag else {}
        try:
            answer = self._open(self._snapshot_uri + query, headers)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404 and name != "0":
                # The lane has ended. Its entries stay in effect.
                self._lanes["0"].entries.update(lane.entries)
                del self._lanes[name]
                return
            if error.code != 304:
                raise
            lane.known_at = start - float(error.headers.get("Age", 0))
            return
        try:
            with answer:
                body = read(answer, start + 60)
        except TooLarge as error:
            # What is held stays in effect, and its age grows, as with any failed fetch. It is not
            # asked for every second, and the stream goes on.
            lane.ask_from = start + 10.0
            log.error("revocations_too_large: %s", error)
            return
        snapshot = self._verify(body.decode("ascii"), "revocations+jwt")
        if snapshot.get("lane", "0") != name:
            raise ValueError("the snapshot of another lane")
        # Entries are never taken back, and another instance may lag a little. Another epoch is
        # another history.
        same = snapshot["epoch"] == lane.epoch
        entries = lane.entries if same else {}
        self._add(entries, snapshot["revocations"])
        lane.entries = entries
        lane.epoch, lane.seq = snapshot["epoch"], snapshot["seq"]
        lane.etag = answer.headers.get("ETag")
        lane.known_at = start - float(answer.headers.get("Age", 0))
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
        for lane in self._lanes.values():
            # Keys stay: a library may hold on to one for longer than Signet publishes it.
            kept = {k: v for k, v in lane.entries.items() if v[1] > wall or k[0] == "kid"}
            lane.entries = kept

    def _open(self, uri, headers):
        request = urllib.request.Request(uri, headers={**self._headers(), **headers})
        return urllib.request.urlopen(request, timeout=self._silence)


def read(answer, deadline):
    """The body, within bounds."""
    body = bytearray()
    while chunk := answer.read(65536):
        body += chunk
        if len(body) > LONGEST_SNAPSHOT:
            raise TooLarge(f"the snapshot has more than {LONGEST_SNAPSHOT} bytes")
        if time.monotonic() > deadline:
            raise ValueError("the snapshot does not end")
    return body


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
