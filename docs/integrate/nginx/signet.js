// nginx's questions to Signet (njs): what a token is worth, and whether that is enough here.

import crypto from 'crypto';

// The token in the Authorization header (RFC 6750 section 2.1); undefined where there is none.
function token(r) {
    var match = /^Bearer +([A-Za-z0-9._~+\/-]+=*) *$/i.exec(r.headersIn.Authorization || '');
    return match ? match[1] : undefined;
}

function token_hash(r) {
    return crypto.createHash('sha256').update(token(r) || '').digest('hex');
}

// Answers 204, 401 or 403, with the challenge of RFC 6750 section 3.
async function check(r) {
    function refuse(status, details) {
        r.headersOut['X-Challenge'] = 'Bearer realm="orders"' + details;
        r.return(status);
    }

    if (!/^Bearer /i.test(r.headersIn.Authorization || '')) {
        return refuse(401, '');
    }
    var invalid = ', error="invalid_token"';
    if (!token(r)) {
        return refuse(401, invalid);
    }
    var body = 'token=' + encodeURIComponent(token(r));
    var answer = await r.subrequest('/_introspect', { method: 'POST', body: body });
    if (answer.status !== 200) {
        r.error('Signet answers ' + answer.status);
        return r.return(500);
    }
    var claims = JSON.parse(answer.responseText);
    var audiences = [].concat(claims.aud || []);
    // A refresh token may be active too, but is no Bearer token. And a cached answer may outlive the
    // token.
    if (claims.active !== true || claims.token_type !== 'Bearer'
        || claims.exp <= Date.now() / 1000
        || !audiences.includes(r.variables.audience)) {
        return refuse(401, invalid);
    }
    // /_token/, /_token/scope/WORD or /_token/role/NAME
    var need = r.uri.split('/').slice(2);
    if (need[0] === 'scope' && !(claims.scope || '').split(' ').includes(need[1])) {
        return refuse(403, ', error="insufficient_scope", scope="' + need[1] + '"');
    }
    if (need[0] === 'role' && !(claims.roles || []).includes(need[1])) {
        // No other token would help, so there is no challenge.
        return r.return(403);
    }
    r.headersOut['X-Subject'] = claims.sub;
    r.return(204);
}

export default { check, token_hash };
