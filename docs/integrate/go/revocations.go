package main

// Follows Signet's feed of access tokens that end before they expire. Needs the standard library
// only; access_tokens.go beside it says how a token is verified. Copy both.
//
// A goroutine takes the signed snapshot of all revocations, then follows the stream of changes. It
// recovers automatically after an outage, and Age returns how old its knowledge is.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What is longer than this is not Signet's, or not meant to be held in memory.
const (
	longestSnapshot = 64 << 20
	longestEvent    = 1 << 20
	// More histories than this are not Signet's.
	mostLanes = 64
)

var errTooLarge = fmt.Errorf("the snapshot has more than %d bytes", longestSnapshot)

// Revocations is what is known to be revoked.
type Revocations struct {
	// SnapshotURI and StreamURI are where to ask.
	SnapshotURI, StreamURI string
	// Verify returns the claims of what Signet signed as this type.
	Verify func(ctx context.Context, jws, typ string) ([]byte, error)
	// MaxStaleness is for how long nothing may be known for certain. A connection that is silent for
	// half of it is dead; heartbeats come every 2 seconds.
	MaxStaleness time.Duration
	// Authorize, if set, adds a token to a request, for a feed that is open only to clients with the
	// scope revocations:read.
	Authorize func(*http.Request) error

	mutex      sync.RWMutex
	lanes      map[string]*lane
	namesLanes bool // the previous version of Signet does not
	purgedAt   time.Time
}

// lane is one of the histories that the feed consists of, each with numbers of its own. There is one,
// "0", and there may be more.
type lane struct {
	entries map[entryKey]entryValue
	epoch   string
	seq     int64
	etag    string
	knownAt time.Time // all that had happened until then is known
	askFrom time.Time // when the snapshot may be asked for again
}

type entryKey struct{ claim, value string }

type entryValue struct{ before, exp int64 }

// statement is what a snapshot and a change have in common.
type statement struct {
	Lane        string                       `json:"lane"`
	Epoch       string                       `json:"epoch"`
	FirstSeq    *int64                       `json:"first_seq"`
	Seq         int64                        `json:"seq"`
	Revocations []map[string]json.RawMessage `json:"revocations"`
}

// Start begins to listen, and waits a little for the first snapshot.
func (r *Revocations) Start() {
	r.lanes = map[string]*lane{"0": {entries: map[entryKey]entryValue{}}}
	first := make(chan struct{})
	go func() {
		if err := r.takeSnapshot("0"); err != nil {
			log.Printf("no revocations: %v", err)
		}
		close(first)
		r.run()
	}()
	select {
	case <-first:
	case <-time.After(r.MaxStaleness / 2):
	}
}

// IsStale reports whether the follower's knowledge is older than MaxStaleness.
func (r *Revocations) IsStale() bool {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	knownAt := r.knownAt()
	return knownAt.IsZero() || time.Since(knownAt) > r.MaxStaleness
}

// knownAt is up to when all is known of every lane.
func (r *Revocations) knownAt() time.Time {
	knownAt := r.lanes["0"].knownAt
	for _, lane := range r.lanes {
		if lane.knownAt.Before(knownAt) {
			knownAt = lane.knownAt
		}
	}
	return knownAt
}

// Covers reports whether the token with these claims, signed by the key kid, is revoked.
func (r *Revocations) Covers(claims *Claims, kid string) bool {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	keys := []entryKey{
		{"sid", claims.SID}, {"jti", claims.JTI}, {"sub", claims.Subject}, {"client_id", claims.ClientID},
	}
	for _, lane := range r.lanes {
		for _, key := range keys {
			if entry, found := lane.entries[key]; found && claims.IssuedAt < entry.before {
				return true
			}
		}
		if _, found := lane.entries[entryKey{"kid", kid}]; found {
			return true
		}
	}
	return false
}

func (r *Revocations) run() {
	random := rand.New(rand.NewSource(time.Now().UnixNano()))
	pause, behind := time.Second, r.lanes["0"].epoch == ""
	for {
		err := error(nil)
		if behind {
			// At the start, and as long as there is no stream to be had.
			for _, name := range r.names() {
				if err == nil {
					err = r.takeSnapshot(name)
				}
			}
		}
		behind = true // unless an event arrives
		if err == nil {
			err = r.listen(func() { pause, behind = time.Second, false })
		}
		log.Printf("no stream of revocations: %v", err)
		// Followers do not all reconnect at the same time, nor wait long, since they miss changes.
		time.Sleep(pause/2 + time.Duration(random.Int63n(int64(pause/2))))
		if pause *= 2; pause > r.MaxStaleness/4 {
			pause = r.MaxStaleness / 4
		}
		if pause < time.Second {
			pause = time.Second
		}
	}
}

func (r *Revocations) names() (names []string) {
	for name := range r.lanes {
		names = append(names, name)
	}
	return names
}

// listen reads server-sent events (WHATWG HTML 9.2) until the connection ends.
func (r *Revocations) listen(heard func()) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	silence := time.AfterFunc(r.MaxStaleness/2, cancel)
	defer silence.Stop()
	// Signet sends the positions of the other lanes.
	last := strconv.FormatInt(r.lanes["0"].seq, 10)
	if r.namesLanes {
		last = "0:" + last
	}
	answer, err := r.get(ctx, r.StreamURI, "Last-Event-ID", last)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the stream's status is %s", answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, longestEvent)
	name, data := "", ""
	for lines.Scan() {
		silence.Reset(r.MaxStaleness / 2)
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if data != "" {
				if err := r.hear(ctx, name, data); err != nil {
					return err
				}
				heard()
			}
			name, data = "", ""
		case field == "event":
			name = value
		case field == "data":
			if data != "" {
				data += "\n"
			}
			if data += value; len(data) > longestEvent {
				return errors.New("an event does not end")
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}

func (r *Revocations) hear(ctx context.Context, name, data string) error {
	heardAt := time.Now()
	switch name {
	case "revocation":
		var change statement
		if err := r.read(ctx, data, "secevent+jwt", &change); err != nil {
			return err
		}
		lane, err := r.lane(&change.Lane)
		if err != nil {
			return err
		}
		first := change.Seq
		if change.FirstSeq != nil {
			first = *change.FirstSeq
		}
		r.mutex.Lock()
		// Whatever else is missing, this much is true.
		add(lane.entries, change.Revocations)
		same := change.Epoch == lane.epoch
		if same && first <= lane.seq+1 && change.Seq > lane.seq {
			lane.seq = change.Seq
		}
		known := same && change.Seq <= lane.seq
		r.mutex.Unlock()
		if !known {
			return r.catchUp(change.Lane, heardAt)
		}
	case "snapshot", "heartbeat":
		state := struct {
			Lane  *string
			Epoch string
			Seq   int64
			Age   float64
		}{Age: math.NaN()}
		if err := json.Unmarshal([]byte(data), &state); err != nil {
			return err
		}
		of := ""
		if r.namesLanes = state.Lane != nil; r.namesLanes {
			of = *state.Lane
		}
		lane, err := r.lane(&of)
		if err != nil {
			return err
		}
		if state.Epoch != lane.epoch || state.Seq > lane.seq {
			if err := r.catchUp(of, heardAt); err != nil {
				return err
			}
		} else if name == "heartbeat" {
			if !(state.Age >= 0 && state.Age < math.MaxInt32) {
				return errors.New("a heartbeat without an age")
			}
			known := heardAt.Add(-time.Duration(state.Age * float64(time.Second)))
			r.mutex.Lock()
			if known.After(lane.knownAt) {
				lane.knownAt = known
			}
			r.purge(heardAt)
			r.mutex.Unlock()
		}
		for _, other := range r.names() {
			// One that is silent may have ended.
			if other != of && heardAt.Sub(r.lanes[other].knownAt) > r.MaxStaleness/2 {
				if err := r.catchUp(other, heardAt); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lane finds the lane of this name, "0" where none is named.
func (r *Revocations) lane(name *string) (*lane, error) {
	if *name == "" {
		*name = "0"
	}
	if found := r.lanes[*name]; found != nil {
		return found, nil
	}
	if len(r.lanes) >= mostLanes {
		return nil, errors.New("one lane too many")
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	// Nothing of it was missed that was not missed of the others. Its snapshot comes next.
	met := &lane{entries: map[entryKey]entryValue{}, knownAt: r.knownAt()}
	r.lanes[*name] = met
	return met, nil
}

func (r *Revocations) catchUp(name string, now time.Time) error {
	// Not more than once a second, however much is missing. The next heartbeat reminds of it.
	if !now.After(r.lanes[name].askFrom) {
		return nil
	}
	return r.takeSnapshot(name)
}

func (r *Revocations) takeSnapshot(name string) error {
	start, lane := time.Now(), r.lanes[name]
	lane.askFrom = start.Add(time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	uri := r.SnapshotURI
	if name != "0" {
		// The first lane has no name for the previous version of Signet, which has no others.
		uri += "?lane=" + url.QueryEscape(name)
	}
	answer, err := r.get(ctx, uri, "If-None-Match", lane.etag)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var snapshot statement
	switch answer.StatusCode {
	case http.StatusNotModified:
	case http.StatusOK:
		body, err := io.ReadAll(io.LimitReader(answer.Body, longestSnapshot+1))
		if err != nil {
			return err
		}
		if len(body) > longestSnapshot {
			// What is held stays in effect, and its age grows, as with any failed fetch. It is not
			// asked for every second, and the stream goes on.
			lane.askFrom = start.Add(10 * time.Second)
			log.Printf("revocations_too_large: %v", errTooLarge)
			return nil
		}
		if err := r.read(ctx, string(body), "revocations+jwt", &snapshot); err != nil {
			return err
		}
		if snapshot.Lane != name && !(snapshot.Lane == "" && name == "0") {
			return errors.New("the snapshot of another lane")
		}
	default:
		if answer.StatusCode == http.StatusNotFound && name != "0" {
			r.end(name)
			return nil
		}
		return fmt.Errorf("the snapshot's status is %s", answer.Status)
	}
	age, err := strconv.ParseUint(answer.Header.Get("Age"), 10, 31)
	if err != nil {
		return fmt.Errorf("the snapshot's age: %w", err)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if answer.StatusCode == http.StatusOK {
		// Entries are never taken back, and another instance may lag a little. Another epoch is
		// another history.
		if snapshot.Epoch != lane.epoch {
			lane.entries = map[entryKey]entryValue{}
		}
		add(lane.entries, snapshot.Revocations)
		lane.epoch, lane.seq, lane.etag = snapshot.Epoch, snapshot.Seq, answer.Header.Get("ETag")
	}
	lane.knownAt = start.Add(-time.Duration(age) * time.Second)
	return nil
}

// end forgets a lane that is no more. Its entries stay in effect.
func (r *Revocations) end(name string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for key, entry := range r.lanes[name].entries {
		r.lanes["0"].entries[key] = entry
	}
	delete(r.lanes, name)
}

func (r *Revocations) read(ctx context.Context, jws, typ string, claims *statement) error {
	payload, err := r.Verify(ctx, jws, typ)
	if err != nil {
		return err
	}
	return json.Unmarshal(payload, claims)
}

func (r *Revocations) get(ctx context.Context, uri, name, value string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, err
	}
	if value != "" {
		request.Header.Set(name, value)
	}
	if r.Authorize != nil {
		if err := r.Authorize(request); err != nil {
			return nil, err
		}
	}
	return http.DefaultClient.Do(request)
}

func (r *Revocations) purge(now time.Time) {
	if now.Sub(r.purgedAt) < time.Minute {
		return
	}
	r.purgedAt = now
	for _, lane := range r.lanes {
		for key, entry := range lane.entries {
			// Keys stay: a library may hold on to one for longer than Signet publishes it.
			if entry.exp <= now.Unix() && key.claim != "kid" {
				delete(lane.entries, key)
			}
		}
	}
}

// add takes over entries of the shapes that are known. What a newer Signet may add is passed over.
func add(entries map[entryKey]entryValue, revocations []map[string]json.RawMessage) {
	number := func(text json.RawMessage) (number int64) {
		if json.Unmarshal(text, &number) != nil {
			return math.MaxInt64
		}
		return number
	}
	for _, members := range revocations {
		for _, claim := range []string{"sid", "jti", "kid", "sub", "client_id"} {
			var value string
			if json.Unmarshal(members[claim], &value) != nil {
				continue
			}
			entry := entryValue{before: math.MaxInt64, exp: number(members["exp"])}
			expected := 2
			if claim == "sub" || claim == "client_id" {
				entry.before, expected = number(members["before"]), 3
			}
			if len(members) != expected || members["exp"] == nil {
				continue
			}
			key := entryKey{claim, value}
			if old, found := entries[key]; found {
				if old.before > entry.before {
					entry.before = old.before
				}
				if old.exp > entry.exp {
					entry.exp = old.exp
				}
			}
			entries[key] = entry
		}
	}
}
