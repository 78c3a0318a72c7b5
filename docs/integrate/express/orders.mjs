// Orders, an Express service beside Signet.
//
//   ISSUER=https://id.example.com AUDIENCE=https://orders.example.com node orders.mjs

import express from 'express'
import { AccessTokens, Refused, requireRole, requireScope } from './access-tokens.mjs'

const { ISSUER, AUDIENCE, MAX_STALENESS = '10', PORT = '3000' } = process.env
const tokens = await AccessTokens.of(ISSUER, AUDIENCE, Number(MAX_STALENESS))
const ORDERS = new Map([[1, 'two otters'], [2, 'a tractor']])

const app = express()
app.disable('x-powered-by')
// Before all routes: none is open because somebody forgot.
app.use(async (request, _, next) => {
  request.claims = await tokens.check(request.headers.authorization)
  next()
})

app.get('/orders', (request, response) => {
  requireScope(request.claims, 'orders:read')
  response.json({ for: request.claims.sub, orders: [...ORDERS.values()] })
})

app.delete('/orders/:number', (request, response) => {
  requireRole(request.claims, 'manager')
  ORDERS.delete(Number(request.params.number))
  response.status(204).end()
})

app.use((error, _request, response, next) => {
  if (!(error instanceof Refused)) return next(error)
  response.status(error.status).set(error.headers).json({ detail: error.message })
})

app.listen(Number(PORT), '127.0.0.1')
