package main

// Verifies Signet's access tokens (RFC 9068) where they are received. Copy it, with revocations.go
// beside it.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	// algorithm is the issuer's keys.algorithm. Never taken from the token.
	algorithm = oidc.RS256
	// leeway is how much clocks may differ. Not more than 60 seconds: that long after a token has
	// expired, Signet forgets its revocation.
	leeway       = time.Minute
	longestToken = 16 << 10
)

// Refused says why a request is not served: the status, a sentence, and the challenge of RFC 6750
// section 3.
type Refused struct {
	Status    int
	Detail    string
	Challenge string
}

func (r *Refused) Error() string { return r.Detail }

var (
	// Without credentials there is no error to speak of, so there is none in the challenge.
	noToken      = &Refused{401, "a token is needed", `Bearer realm="orders"`}
	invalidToken = &Refused{401, "the token is not valid", `Bearer realm="orders", error="invalid_token"`}
	// Nothing is wrong with the token: at a 401 the client would discard it.
	unavailable = &Refused{503, "tokens cannot be verified now", ""}
)

// Claims are those of an access token that are of use here.
type Claims struct {
	Subject  string   `json:"sub"`
	ClientID string   `json:"client_id"`
	JTI      string   `json:"jti"`
	SID      string   `json:"sid"`
	IssuedAt int64    `json:"iat"`
	Scope    string   `json:"scope"`
	Roles    []string `json:"roles"`
}

// AccessTokens knows the issuer's keys and what is revoked. Make one for the process.
type AccessTokens struct {
	issuer      string
	keys        oidc.KeySet
	verifier    *oidc.IDTokenVerifier
	revocations Revocations
}

// NewAccessTokens finds the issuer, and begins to listen for revocations.
func NewAccessTokens(issuer, audience string, maxStaleness time.Duration) (*AccessTokens, error) {
	ctx := oidc.ClientContext(context.Background(), &http.Client{Timeout: 5 * time.Second})
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	metadata := struct {
		Keys     string `json:"jwks_uri"`
		Snapshot string `json:"revocations_uri"`
		Stream   string `json:"revocations_stream_uri"`
	}{Snapshot: issuer + "/revocations", Stream: issuer + "/revocations/stream"}
	if err := provider.Claims(&metadata); err != nil {
		return nil, err
	}
	// Keeps the keys until a token names one that it does not know, and then asks each time.
	keys := oidc.NewRemoteKeySet(ctx, metadata.Keys)
	tokens := &AccessTokens{issuer: issuer, keys: keys}
	// go-oidc is made for ID tokens: what it calls the client is the audience of an access token.
	tokens.verifier = oidc.NewVerifier(issuer, keys, &oidc.Config{
		ClientID:             audience,
		SupportedSigningAlgs: []string{algorithm},
		Now:                  func() time.Time { return time.Now().Add(-leeway) },
	})
	tokens.revocations.SnapshotURI = metadata.Snapshot
	tokens.revocations.StreamURI = metadata.Stream
	tokens.revocations.MaxStaleness = maxStaleness
	tokens.revocations.Verify = tokens.statement
	tokens.revocations.Start()
	return tokens, nil
}

// Check returns the claims of the token in an Authorization header, or a *Refused.
func (t *AccessTokens) Check(ctx context.Context, authorization string) (*Claims, error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, noToken
	}
	token = strings.TrimSpace(token)
	kid, err := header(token, "at+jwt")
	if err != nil || len(token) > longestToken {
		return nil, invalidToken
	}
	verified, err := t.verifier.Verify(ctx, token)
	if err != nil {
		// go-oidc has no type for this.
		if strings.Contains(err.Error(), "fetching keys") {
			return nil, unavailable
		}
		return nil, invalidToken
	}
	claims := &Claims{}
	if err := verified.Claims(claims); err != nil {
		return nil, invalidToken
	}
	if claims.Subject == "" || claims.ClientID == "" || claims.JTI == "" || claims.IssuedAt == 0 {
		return nil, invalidToken
	}
	if t.revocations.Covers(claims, kid) {
		return nil, invalidToken
	}
	if t.revocations.IsStale() {
		return nil, unavailable
	}
	return claims, nil
}

// header returns the kid of what is signed as this type, and by the algorithm.
func header(jws, typ string) (string, error) {
	parsed, err := jose.ParseSigned(jws, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return "", err
	}
	if len(parsed.Signatures) != 1 {
		return "", errors.New("not one signature")
	}
	// Only what the signature covers counts.
	protected := parsed.Signatures[0].Protected
	// Signet signs other things than access tokens, with the same keys.
	if protected.ExtraHeaders[jose.HeaderType] != typ || protected.Algorithm != algorithm {
		return "", errors.New("not what is expected here")
	}
	if protected.KeyID == "" {
		return "", errors.New("no kid")
	}
	return protected.KeyID, nil
}

// statement returns the claims of what Signet signed for its feed, which has an issuer and audience
// of its own. The previous version names the issuer, which is accepted until the next release.
func (t *AccessTokens) statement(ctx context.Context, jws, typ string) ([]byte, error) {
	if _, err := header(jws, typ); err != nil {
		return nil, err
	}
	payload, err := t.keys.VerifySignature(ctx, jws)
	if err != nil {
		return nil, err
	}
	var claims struct {
		Issuer   string          `json:"iss"`
		Audience json.RawMessage `json:"aud"`
		Expires  *int64          `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}
	feed := t.issuer + "/revocations"
	if claims.Issuer != feed && claims.Issuer != t.issuer {
		return nil, fmt.Errorf("the issuer is %q", claims.Issuer)
	}
	var audience string
	isForFeed := json.Unmarshal(claims.Audience, &audience) == nil && audience == feed
	if claims.Issuer == feed && !isForFeed {
		return nil, errors.New("not for followers of the feed")
	}
	if claims.Expires != nil && time.Now().Add(-leeway).Unix() >= *claims.Expires {
		return nil, errors.New("it has expired")
	}
	return payload, nil
}

// RequireScope returns a *Refused for a token without this scope.
func (c *Claims) RequireScope(word string) error {
	for _, held := range strings.Fields(c.Scope) {
		if held == word {
			return nil
		}
	}
	challenge := fmt.Sprintf(`Bearer realm="orders", error="insufficient_scope", scope="%s"`, word)
	return &Refused{403, "the token lacks the scope " + word, challenge}
}

// RequireRole returns a *Refused for a user without this role.
func (c *Claims) RequireRole(role string) error {
	for _, held := range c.Roles {
		if held == role {
			return nil
		}
	}
	// No other token would help, so there is no challenge.
	return &Refused{403, "only for the role " + role, ""}
}
