// Follows Signet's feed of access tokens that end before they expire. Needs nothing but Node 18;
// access-tokens.mjs beside it says how a token is verified. Copy both.
//
// Takes the signed snapshot of all revocations, then follows the stream of changes. It recovers
// automatically after an outage, and `age()` returns how old its knowledge is.

// What is longer than this is not Signet's, or not meant to be held in memory.
const LONGEST_SNAPSHOT = 64 * 1024 * 1024
const LONGEST_EVENT = 1024 * 1024
// More histories than this are not Signet's.
const MOST_LANES = 64
// Members of an entry, and the claim that it is about. What a newer Signet may add is passed over.
const SHAPES = {
  'exp,sid': 'sid',
  'exp,jti': 'jti',
  'exp,kid': 'kid',
  'before,exp,sub': 'sub',
  'before,client_id,exp': 'client_id',
}

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))
const now = () => performance.now() / 1000

// One of the histories that the feed consists of, each with numbers of its own. There is one, "0", and
// there may be more.
class Lane {
  entries = new Map() // "claim value": { before, exp }
  epoch = null
  seq = 0
  etag = null
  askFrom = -Infinity // when the snapshot may be asked for again

  constructor(knownAt) {
    this.knownAt = knownAt // all that had happened until then is known
  }
}

export class Revocations {
  #lanes = new Map([['0', new Lane(-Infinity)]])
  #namesLanes = false // the previous version of Signet does not
  #purgedAt = 0

  // `verify(jws, typ)` resolves to the claims of what Signet signed for its feed, or rejects. `headers()`
  // resolves to the headers of requests, for a feed that is open only to clients with the
  // scope revocations:read.
  constructor(issuer, metadata, verify, maxStaleness = 10, headers = async () => ({})) {
    this.snapshotUri = metadata.revocations_uri ?? `${issuer}/revocations`
    this.streamUri = metadata.revocations_stream_uri ?? `${issuer}/revocations/stream`
    this.verify = verify
    this.headers = headers
    // A connection that is silent for so long is dead. Heartbeats come every 2 seconds.
    this.silence = maxStaleness / 2
  }

  // Begins to listen, and waits a little for the first snapshot.
  async start() {
    const first = this.#takeSnapshot('0').catch((error) => this.#warn(error))
    await Promise.race([first, sleep(this.silence * 1000)])
    first.then(() => this.#run())
  }

  // Seconds for which something may have been missed.
  age() {
    return now() - this.#knownAt()
  }

  // Whether the token with these claims, signed by the key `kid`, is revoked.
  covers(claims, kid) {
    for (const { entries } of this.#lanes.values()) {
      const revoked = (claim) => claims.iat < entries.get(`${claim} ${claims[claim]}`)?.before
      if (['sid', 'jti', 'sub', 'client_id'].some(revoked) || entries.has(`kid ${kid}`)) return true
    }
    return false
  }

  #knownAt() {
    return Math.min(...[...this.#lanes.values()].map((lane) => lane.knownAt))
  }

  async #run() {
    let pause = 1
    let behind = this.#lanes.get('0').epoch === null
    for (;;) {
      try {
        // At the start, and as long as there is no stream to be had.
        if (behind) for (const name of [...this.#lanes.keys()]) await this.#takeSnapshot(name)
        behind = true // unless an event arrives
        for await (const { name, data } of this.#events()) {
          await this.#hear(name, data)
          pause = 1
          behind = false
        }
      } catch (error) {
        this.#warn(error)
      }
      // Followers do not all reconnect at the same time, nor wait long, since they miss changes.
      await sleep(pause * (500 + 500 * Math.random()))
      pause = Math.min(pause * 2, Math.max(1, this.silence / 2))
    }
  }

  #warn(error) {
    console.warn(`no stream of revocations: ${error.message} ${error.cause?.message ?? ''}`)
  }

  async #hear(event, data) {
    const heardAt = now()
    if (event === 'revocation') {
      const change = await this.verify(data, 'secevent+jwt')
      const [name, lane] = this.#lane(change)
      // Whatever else is missing, this much is true.
      add(lane.entries, change.revocations)
      const first = change.first_seq ?? change.seq
      const same = change.epoch === lane.epoch
      if (same && first <= lane.seq + 1) lane.seq = Math.max(lane.seq, change.seq)
      else if (!same || change.seq > lane.seq) await this.#catchUp(name, heardAt)
    } else if (event === 'snapshot' || event === 'heartbeat') {
      const state = JSON.parse(data)
      const { epoch, seq, age } = state
      this.#namesLanes = 'lane' in state
      if (event === 'heartbeat' && !(age >= 0)) throw new Error('a heartbeat without an age')
      const [name, lane] = this.#lane(state)
      if (epoch !== lane.epoch || seq > lane.seq) {
        await this.#catchUp(name, heardAt)
      } else if (event === 'heartbeat') {
        lane.knownAt = Math.max(lane.knownAt, heardAt - age)
        this.#purge(heardAt)
      }
      for (const [other, { knownAt }] of [...this.#lanes]) {
        // One that is silent may have ended.
        if (other !== name && heardAt - knownAt > this.silence) await this.#catchUp(other, heardAt)
      }
    }
  }

  #lane({ lane: name = '0' }) {
    if (!this.#lanes.has(name)) {
      if (typeof name !== 'string' || this.#lanes.size >= MOST_LANES) {
        throw new Error('a lane that is none, or one too many')
      }
      // Nothing of it was missed that was not missed of the others. Its snapshot comes next.
      this.#lanes.set(name, new Lane(this.#knownAt()))
    }
    return [name, this.#lanes.get(name)]
  }

  async #catchUp(name, at) {
    // Not more than once a second, however much is missing. The next heartbeat reminds of it.
    if (at > this.#lanes.get(name).askFrom) await this.#takeSnapshot(name)
  }

  async #takeSnapshot(name) {
    const start = now()
    const lane = this.#lanes.get(name)
    lane.askFrom = start + 1
    const headers = await this.headers()
    if (lane.etag) headers['If-None-Match'] = lane.etag
    // The first lane has no name for the previous version of Signet, which has no others.
    const query = name === '0' ? '' : `?lane=${encodeURIComponent(name)}`
    const signal = AbortSignal.timeout(60_000)
    const answer = await fetch(this.snapshotUri + query, { headers, signal })
    const knownAt = start - Number(answer.headers.get('age') ?? 0)
    if (answer.status !== 200) {
      await answer.body?.cancel()
      if (answer.status === 404 && name !== '0') {
        // The lane has ended. Its entries stay in effect.
        const { entries } = this.#lanes.get('0')
        for (const [key, entry] of lane.entries) entries.set(key, entry)
        this.#lanes.delete(name)
        return
      }
      if (answer.status !== 304) throw new Error(`the snapshot's status is ${answer.status}`)
      lane.knownAt = knownAt
      return
    }
    const chunks = []
    let size = 0
    for await (const chunk of answer.body) {
      size += chunk.length
      if (size > LONGEST_SNAPSHOT) {
        // What is held stays in effect, and its age grows, as with any failed fetch. It is not asked
        // for every second, and the stream goes on.
        lane.askFrom = start + 10
        console.error(`revocations_too_large: the snapshot has more than ${LONGEST_SNAPSHOT} bytes`)
        return
      }
      chunks.push(chunk)
    }
    const snapshot = await this.verify(Buffer.concat(chunks).toString('latin1'), 'revocations+jwt')
    if ((snapshot.lane ?? '0') !== name) throw new Error('the snapshot of another lane')
    // Entries are never taken back, and another instance may lag a little. Another epoch is another
    // history.
    if (snapshot.epoch !== lane.epoch) lane.entries = new Map()
    add(lane.entries, snapshot.revocations)
    lane.epoch = snapshot.epoch
    lane.seq = snapshot.seq
    lane.etag = answer.headers.get('etag')
    lane.knownAt = knownAt
  }

  #purge(at) {
    if (at < this.#purgedAt + 60) return
    this.#purgedAt = at
    for (const { entries } of this.#lanes.values()) {
      for (const [key, { exp }] of entries) {
        // Keys stay: a library may hold on to one for longer than Signet publishes it.
        if (exp * 1000 <= Date.now() && !key.startsWith('kid ')) entries.delete(key)
      }
    }
  }

  // Server-sent events (WHATWG HTML 9.2): the name and the data of each.
  async *#events() {
    const connection = new AbortController()
    const heard = () => {
      clearTimeout(heard.timer)
      heard.timer = setTimeout(() => connection.abort(new Error('silence')), this.silence * 1000)
      heard.timer.unref()
    }
    heard()
    try {
      // Signet sends the positions of the other lanes.
      const last = (this.#namesLanes ? '0:' : '') + this.#lanes.get('0').seq
      const headers = { ...(await this.headers()), 'Last-Event-ID': last }
      const answer = await fetch(this.streamUri, { headers, signal: connection.signal })
      if (answer.status !== 200) throw new Error(`the stream's status is ${answer.status}`)
      const decoder = new TextDecoder()
      let text = ''
      let event = { name: 'message', data: '' }
      for await (const chunk of answer.body) {
        heard()
        text += decoder.decode(chunk, { stream: true })
        const lines = text.split('\n')
        text = lines.pop()
        for (const line of lines.map((line) => line.replace(/\r$/, ''))) {
          const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)
          if (line === '') {
            if (event.data) yield event
            event = { name: 'message', data: '' }
          } else if (field === 'event') event.name = value
          else if (field === 'data') event.data += (event.data && '\n') + value
        }
        if (text.length + event.data.length > LONGEST_EVENT) throw new Error('an event does not end')
      }
    } finally {
      clearTimeout(heard.timer)
      connection.abort()
    }
  }
}

function add(entries, revocations) {
  for (const entry of revocations) {
    const claim = SHAPES[Object.keys(entry).sort().join()]
    if (!claim) continue
    const key = `${claim} ${entry[claim]}`
    const { before, exp } = entries.get(key) ?? { before: -Infinity, exp: 0 }
    entries.set(key, {
      before: Math.max(before, entry.before ?? Infinity),
      exp: Math.max(exp, entry.exp),
    })
  }
}
