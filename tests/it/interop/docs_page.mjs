// A developer tries Signet out on its documentation page: logs in with the Authorize button, reads
// their own account, logs out, mistypes the password, and logs in again.
//
// docs_page.mjs reads {"chromium", "profile", "page", "username", "password"} from its input and
// prints what the browser asked for, complained of and showed.
import { text } from 'node:stream/consumers'
import { open } from './chromium.mjs'

setTimeout(() => { throw new Error('it takes too long') }, 300_000).unref()
const { chromium, profile, page: address, username, password } = JSON.parse(await text(process.stdin))
const page = await open(chromium, profile)
const requests = []
const complaints = []
page.on((event, { request, entry, type, args, exceptionDetails }) => {
  if (event === 'Network.requestWillBeSent') requests.push({ method: request.method, url: request.url })
  if (event === 'Network.webSocketCreated') requests.push({ method: 'CONNECT', url: 'ws' })
  if (event === 'Log.entryAdded' && ['warning', 'error'].includes(entry.level)) {
    complaints.push({ source: entry.source, text: entry.text, url: entry.url })
  }
  if (event === 'Runtime.consoleAPICalled' && ['warning', 'error', 'assert'].includes(type)) {
    complaints.push({ source: 'console', text: args.map(a => a.value ?? a.description).join(' ') })
  }
  if (event === 'Runtime.exceptionThrown') {
    const { text, exception } = exceptionDetails
    complaints.push({ source: 'exception', text: exception?.description ?? text })
  }
})

// The dialog has a part for each way to authenticate; a user's is the one with a password flow. Once
// logged in, it has a heading instead of inputs.
const form = '.auth-container:has(#oauth_username)'
const authorized = '.auth-container:has(h6)'
const operation = '#operations-Account-read_me'

const openDialog = () => page.click('.auth-wrapper .btn.authorize')
const closeDialog = async () => {
  await page.click('.close-modal')
  await page.until(`!document.querySelector('.modal-ux')`, 'the dialog closed')
}

async function logIn(secret) {
  await page.type('#oauth_username', username)
  await page.type('#oauth_password', secret)
  await page.click(`${form} .btn.authorize`)
}

const shown = selector =>
  page.until(`document.querySelector(${JSON.stringify(selector)})?.innerText`, selector)

/** Calls GET /users/me by its Execute button; what the page shows of the answer. */
async function execute() {
  // What an earlier call showed must not be taken for the answer to this one.
  if (await page.evaluate(`!!document.querySelector('${operation} .btn-clear')`)) {
    await page.click(`${operation} .btn-clear`)
    await page.until(`!document.querySelector('${operation} .live-responses-table')`)
  }
  await page.click(`${operation} .execute`)
  const live = `${operation} .live-responses-table .response`
  return {
    status: parseInt(await shown(`${live} .response-col_status`)),
    body: await shown(`${live} .highlight-code`),
  }
}

for (const domain of ['Page', 'Network', 'Log', 'Runtime']) await page.send(`${domain}.enable`)
await page.send('Page.navigate', { url: address })

await openDialog()
await logIn(password)
const loggedIn = await shown(`${authorized} h6`)
await closeDialog()
await page.click(`${operation} .opblock-summary-control`)
await page.click(`${operation} .try-out__btn`)
const whileLoggedIn = await execute()
const complaintsSoFar = complaints.splice(0)

await openDialog()
await page.click(`${authorized} .auth-btn-wrapper .btn:first-child`)
await page.until(`!!document.querySelector('${form}')`, 'the form once more')
await closeDialog()
const loggedOut = await execute()

await openDialog()
await logIn('not the password')
const mistyped = await shown(`${form} .errors`)
await logIn(password)
await shown(`${authorized} h6`)
await closeDialog()
const loggedInAgain = await execute()

page.close()
console.log(JSON.stringify({
  loggedIn, whileLoggedIn, complaintsSoFar, loggedOut, mistyped, loggedInAgain, complaints, requests,
}))
