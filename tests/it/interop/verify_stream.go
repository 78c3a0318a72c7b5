// Verifies access tokens as a long-running Go service would: with go-oidc's or zitadel/oidc's remote
// key set and its defaults, knowing only the issuer address.
//
// verify_stream go-oidc|zitadel ISSUER AUDIENCE says "ready", then reads a token a line, and at the
// end of its input prints what became of them as one line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"github.com/coreos/go-oidc/v3/oidc"
	zitadel "github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zitadeloidc "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// version returns that of a module which this is built with.
func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return "?"
}

// verifier checks the signature, algorithm, issuer, audience and expiry of a token.
type verifier func(ctx context.Context, token string) error

func goOIDC(ctx context.Context, issuer, audience string, http *http.Client) (verifier, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, http), issuer)
	if err != nil {
		return nil, err
	}
	// The audience of an ID token is called the client, and an access token's is checked likewise.
	verifier := provider.Verifier(&oidc.Config{
		ClientID:             audience,
		SupportedSigningAlgs: []string{oidc.RS256},
	})
	return func(ctx context.Context, token string) error {
		_, err := verifier.Verify(ctx, token)
		return err
	}, nil
}

func zitadelOIDC(ctx context.Context, issuer, audience string, http *http.Client) (verifier, error) {
	metadata, err := zitadel.Discover(ctx, issuer, http)
	if err != nil {
		return nil, err
	}
	keys := rp.NewRemoteKeySet(http, metadata.JwksURI)
	algorithms := op.WithSupportedAccessTokenSigningAlgorithms("RS256")
	verifier := op.NewAccessTokenVerifier(issuer, keys, algorithms)
	return func(ctx context.Context, token string) error {
		claims, err := op.VerifyAccessToken[*zitadeloidc.AccessTokenClaims](ctx, token, verifier)
		if err != nil {
			return err
		}
		// It is left to the caller.
		if !slices.Contains(claims.Audience, audience) {
			return fmt.Errorf("the audience is %v", claims.Audience)
		}
		return nil
	}, nil
}

type report struct {
	Client        string   `json:"client"`
	Verified      int      `json:"verified"`
	Failed        int      `json:"failed"`
	FirstFailures []string `json:"first_failures"`
	Kids          []string `json:"kids"`
	JwksFetches   int64    `json:"jwks_fetches"`
}

// counting counts the requests, and changes nothing.
type counting struct{ requests int64 }

func (c *counting) RoundTrip(request *http.Request) (*http.Response, error) {
	atomic.AddInt64(&c.requests, 1)
	return http.DefaultTransport.RoundTrip(request)
}

// kid names the key that a verified token says it is signed with.
func kid(token string) string {
	var header struct {
		Kid string `json:"kid"`
	}
	first := strings.SplitN(token, ".", 2)[0]
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err == nil {
		err = json.Unmarshal(text, &header)
	}
	if err != nil {
		log.Fatalf("a verified token has no readable header: %v", err)
	}
	return header.Kid
}

func main() {
	client, issuer, audience := os.Args[1], os.Args[2], os.Args[3]
	transport, ctx := &counting{}, context.Background()
	find, name := goOIDC, "go-oidc "+version("github.com/coreos/go-oidc/v3")
	if client == "zitadel" {
		find, name = zitadelOIDC, "zitadel/oidc "+version("github.com/zitadel/oidc/v3")
	}
	verify, err := find(ctx, issuer, audience, &http.Client{Transport: transport})
	if err != nil {
		log.Fatal(err)
	}
	discovery := atomic.LoadInt64(&transport.requests)
	fmt.Println("ready")

	result := report{FirstFailures: []string{}, Kids: []string{}}
	result.Client = fmt.Sprintf("%s on %s", name, strings.Replace(runtime.Version(), "go", "Go ", 1))
	kids := map[string]bool{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		token := lines.Text()
		if err := verify(ctx, token); err != nil {
			result.Failed++
			if len(result.FirstFailures) < 5 {
				result.FirstFailures = append(result.FirstFailures, err.Error())
			}
			continue
		}
		result.Verified++
		kids[kid(token)] = true
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	for kid := range kids {
		result.Kids = append(result.Kids, kid)
	}
	sort.Strings(result.Kids)
	result.JwksFetches = atomic.LoadInt64(&transport.requests) - discovery
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
