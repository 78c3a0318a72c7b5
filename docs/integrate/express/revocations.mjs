// Hears from Signet which access tokens are dead before their time. Needs nothing but Node 18;
// access-tokens.mjs beside it says how a token is verified. Copy both.
//
// Takes the signed snapshot of all revocations, then follows the stream of changes. It comes back by
// itself after an outage, and `age()` tells how long nothing is known for certain.

// What is longer than this is not Signet's, or not meant to be held in memory.
const LONGEST_SNAPSHOT = 64 * 1024 * 1024
const LONGEST_EVENT = 1024 * 1024
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

export class Revocations {
  #entries = new Map() // "claim value": { before, exp }
  #epoch = null
  #seq = 0
  #etag = null
  #knownAt = -Infinity // all that had happened until then is known
  #askedAt = -Infinity
  #purgedAt = 0

  // `verify(jws, typ)` resolves to the claims of what Signet signed, or rejects. `headers()` resolves to
  // the headers of requests, for a Signet that tells only clients with the scope revocations:read.
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
    const first = this.#takeSnapshot().catch((error) => this.#warn(error))
    await Promise.race([first, sleep(this.silence * 1000)])
    first.then(() => this.#run())
  }

  // Seconds for which something may have been missed.
  age() {
    return now() - this.#knownAt
  }

  // Whether the token with these claims, signed by the key `kid`, is revoked.
  covers(claims, kid) {
    const revoked = (claim) => claims.iat < this.#entries.get(`${claim} ${claims[claim]}`)?.before
    return ['sid', 'jti', 'sub', 'client_id'].some(revoked) || this.#entries.has(`kid ${kid}`)
  }

  async #run() {
    let pause = 1
    let behind = this.#epoch === null
    for (;;) {
      try {
        // At the start, and as long as there is no stream to be had.
        if (behind) await this.#takeSnapshot()
        behind = true // unless an event is heard
        for await (const { name, data } of this.#events()) {
          await this.#hear(name, data)
          pause = 1
          behind = false
        }
      } catch (error) {
        this.#warn(error)
      }
      // Not everybody at once, and not for long: what is not heard is not known.
      await sleep(pause * (500 + 500 * Math.random()))
      pause = Math.min(pause * 2, Math.max(1, this.silence / 2))
    }
  }

  #warn(error) {
    console.warn(`no stream of revocations: ${error.message} ${error.cause?.message ?? ''}`)
  }

  async #hear(name, data) {
    const heardAt = now()
    if (name === 'revocation') {
      const change = await this.verify(data, 'secevent+jwt')
      // Whatever else is missing, this much is true.
      add(this.#entries, change.revocations)
      const same = change.epoch === this.#epoch
      if (same && change.seq === this.#seq + 1) this.#seq += 1
      else if (!same || change.seq > this.#seq) await this.#catchUp(heardAt)
    } else if (name === 'snapshot' || name === 'heartbeat') {
      const { epoch, seq, age } = JSON.parse(data)
      if (name === 'heartbeat' && !(age >= 0)) throw new Error('a heartbeat without an age')
      if (epoch !== this.#epoch || seq > this.#seq) {
        await this.#catchUp(heardAt)
      } else if (name === 'heartbeat') {
        this.#knownAt = Math.max(this.#knownAt, heardAt - age)
        this.#purge(heardAt)
      }
    }
  }

  async #catchUp(at) {
    // Not more than once a second, however much is missing. The next heartbeat reminds of it.
    if (at > this.#askedAt + 1) await this.#takeSnapshot()
  }

  async #takeSnapshot() {
    const start = now()
    this.#askedAt = start
    const headers = await this.headers()
    if (this.#etag) headers['If-None-Match'] = this.#etag
    const answer = await fetch(this.snapshotUri, { headers, signal: AbortSignal.timeout(60_000) })
    const knownAt = start - Number(answer.headers.get('age') ?? 0)
    if (answer.status !== 200) {
      await answer.body?.cancel()
      if (answer.status !== 304) throw new Error(`the snapshot's status is ${answer.status}`)
      this.#knownAt = knownAt
      return
    }
    const chunks = []
    let size = 0
    for await (const chunk of answer.body) {
      size += chunk.length
      if (size > LONGEST_SNAPSHOT) throw new Error('the snapshot does not end')
      chunks.push(chunk)
    }
    const snapshot = await this.verify(Buffer.concat(chunks).toString('latin1'), 'revocations+jwt')
    // Entries are never taken back, and another instance may lag a little. Another epoch is another
    // history.
    if (snapshot.epoch !== this.#epoch) this.#entries = new Map()
    add(this.#entries, snapshot.revocations)
    this.#epoch = snapshot.epoch
    this.#seq = snapshot.seq
    this.#etag = answer.headers.get('etag')
    this.#knownAt = knownAt
  }

  #purge(at) {
    if (at < this.#purgedAt + 60) return
    this.#purgedAt = at
    for (const [key, { exp }] of this.#entries) {
      // Keys stay: a library may hold on to one for longer than Signet publishes it.
      if (exp * 1000 <= Date.now() && !key.startsWith('kid ')) this.#entries.delete(key)
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
      const headers = { ...(await this.headers()), 'Last-Event-ID': String(this.#seq) }
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
