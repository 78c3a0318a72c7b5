// Verifies access tokens as a long-running Go service would: go-oidc's provider with its remote key
// set and its defaults, knowing only the issuer address.
//
// verify_stream ISSUER AUDIENCE says "ready", then reads a token a line, and at the end of its
// input prints what became of them as one line of JSON.
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
	"sort"
	"strings"
	"sync/atomic"

	"github.com/coreos/go-oidc"
)

// version of go-oidc; set when this is built.
var version = "?"

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
	issuer, audience := os.Args[1], os.Args[2]
	transport := &counting{}
	ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: transport})
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		log.Fatal(err)
	}
	// The audience of an ID token is called the client, and an access token's is checked likewise.
	verifier := provider.Verifier(&oidc.Config{
		ClientID:             audience,
		SupportedSigningAlgs: []string{oidc.RS256},
	})
	discovery := atomic.LoadInt64(&transport.requests)
	fmt.Println("ready")

	result := report{FirstFailures: []string{}, Kids: []string{}}
	result.Client = fmt.Sprintf("go-oidc %s on %s", version, strings.Replace(runtime.Version(), "go", "Go ", 1))
	kids := map[string]bool{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		token := lines.Text()
		if _, err := verifier.Verify(ctx, token); err != nil {
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
