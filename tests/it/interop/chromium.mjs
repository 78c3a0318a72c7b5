// A headless Chromium, driven over its debugging pipe (the Chrome DevTools Protocol), with nothing
// but Node. It ends when the pipe closes, and so with this process, however that ends.
import { spawn } from 'node:child_process'

// Sandboxing needs rights that root in a container has not. Nothing resolves but the loopback
// address, so that neither a page nor the browser reaches anybody else.
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  '--window-size=1280,1000',
  '--remote-debugging-pipe',
]

/** Starts `program` with its profile in `folder`; resolves to a page that is still blank. */
export async function open(program, folder) {
  const browser = spawn(program, [...FLAGS, `--user-data-dir=${folder}`], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, HOME: folder },
  })
  const waiting = new Map()
  let complaints = ''
  browser.stderr.on('data', text => { complaints = (complaints + text).slice(-4000) })
  const fail = why => {
    const error = new Error(`${program}: ${why}\n${complaints}`)
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  browser.on('error', error => fail(error.message))
  browser.on('exit', (code, signal) => fail(`ended with ${code ?? signal}`))

  const [input, output] = [browser.stdio[3], browser.stdio[4]]
  input.on('error', error => fail(error.message))
  const listeners = []
  let last = 0
  const send = (method, params, sessionId) => new Promise((resolve, reject) => {
    last += 1
    waiting.set(last, { resolve, reject })
    input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`)
  })
  let rest = ''
  output.setEncoding('utf8').on('data', text => {
    const messages = (rest + text).split('\0')
    rest = messages.pop()
    for (const { id, error, result, method, params } of messages.map(m => JSON.parse(m))) {
      if (id === undefined) {
        for (const listen of listeners) listen(method, params)
      } else if (error) {
        waiting.get(id)?.reject(new Error(error.message))
      } else {
        waiting.get(id)?.resolve(result)
      }
      waiting.delete(id)
    }
  })

  const { targetId } = await send('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
  return new Page((method, params) => send(method, params, sessionId), listeners, () => {
    browser.kill()
  })
}

class Page {
  constructor(send, listeners, close) {
    Object.assign(this, { send, listeners, close })
  }

  /** Calls `listen` with the name and the parameters of every event. */
  on(listen) {
    this.listeners.push(listen)
  }

  /** The value of a JavaScript expression. */
  async evaluate(expression) {
    const options = { expression, returnByValue: true, awaitPromise: true }
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', options)
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description)
    return result.value
  }

  /** Waits until an expression gives something, and returns it. */
  async until(expression, what = expression) {
    const end = Date.now() + 60_000
    for (;;) {
      const value = await this.evaluate(expression)
      if (value) return value
      if (Date.now() > end) {
        throw new Error(`not seen: ${what}\n${await this.evaluate('document.body.innerText')}`)
      }
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  /** Clicks with the mouse on the middle of an element, once it is there and still. */
  async click(selector) {
    const { x, y } = await this.until(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)})
      if (!element || element.disabled) return null
      element.scrollIntoView({ block: 'center', behavior: 'instant' })
      const { x, y, width, height } = element.getBoundingClientRect()
      const middle = { x: x + width / 2, y: y + height / 2 }
      const top = document.elementFromPoint(middle.x, middle.y)
      return width && (element.contains(top) || top?.contains(element)) ? middle : null
    })()`, selector)
    const at = { x, y, button: 'left', clickCount: 1 }
    await this.send('Input.dispatchMouseEvent', { type: 'mousePressed', ...at })
    await this.send('Input.dispatchMouseEvent', { type: 'mouseReleased', ...at })
  }

  /** Puts `text` in the place of what an input has. */
  async type(selector, text) {
    await this.click(selector)
    await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).select()`)
    await this.send('Input.insertText', { text })
  }
}
