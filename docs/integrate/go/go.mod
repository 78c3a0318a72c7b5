// The versions that Debian 12 packages. With Debian's packages no go.mod is needed.
module orders

go 1.19

require (
	github.com/coreos/go-oidc v2.1.0+incompatible
	github.com/pquerna/cachecontrol v0.0.0-20171018203845-0dec1b30a021 // indirect
	golang.org/x/crypto v0.4.0 // indirect
	golang.org/x/net v0.7.0 // indirect
	golang.org/x/oauth2 v0.3.0 // indirect
	gopkg.in/square/go-jose.v2 v2.6.0
)
