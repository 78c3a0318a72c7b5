// Orders, a net/http service beside Signet.
//
//	ISSUER=https://id.example.com AUDIENCE=https://orders.example.com go run .
package main

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	mutex  sync.Mutex
	orders = map[string]string{"1": "two otters", "2": "a tractor"}
)

type handler func(http.ResponseWriter, *http.Request, *Claims) error

// authenticated passes on requests with a valid token only, and answers all others.
func authenticated(tokens *AccessTokens, next handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := tokens.Check(r.Context(), r.Header.Get("Authorization"))
		if err == nil {
			err = next(w, r, claims)
		}
		var refused *Refused
		switch {
		case err == nil:
		case errors.As(err, &refused):
			if refused.Challenge != "" {
				w.Header().Set("WWW-Authenticate", refused.Challenge)
			}
			if refused.Status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			answer(w, refused.Status, map[string]string{"detail": refused.Detail})
		default:
			log.Print(err)
			answer(w, http.StatusInternalServerError, map[string]string{"detail": "a failure"})
		}
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

func list(w http.ResponseWriter, r *http.Request, claims *Claims) error {
	if err := claims.RequireScope("orders:read"); err != nil {
		return err
	}
	mutex.Lock()
	defer mutex.Unlock()
	answer(w, http.StatusOK, map[string]any{"for": claims.Subject, "orders": orders})
	return nil
}

func remove(w http.ResponseWriter, r *http.Request, claims *Claims) error {
	if err := claims.RequireRole("manager"); err != nil {
		return err
	}
	mutex.Lock()
	defer mutex.Unlock()
	delete(orders, strings.TrimPrefix(r.URL.Path, "/orders/"))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func route(w http.ResponseWriter, r *http.Request, claims *Claims) error {
	switch {
	case r.URL.Path == "/orders" && r.Method == http.MethodGet:
		return list(w, r, claims)
	case strings.HasPrefix(r.URL.Path, "/orders/") && r.Method == http.MethodDelete:
		return remove(w, r, claims)
	}
	answer(w, http.StatusNotFound, map[string]string{"detail": "there is no such thing"})
	return nil
}

func setting(name, standard string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return standard
}

func main() {
	staleness, err := time.ParseDuration(setting("MAX_STALENESS", "10") + "s")
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := NewAccessTokens(os.Getenv("ISSUER"), os.Getenv("AUDIENCE"), staleness)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr:              "127.0.0.1:" + setting("PORT", "3000"),
		Handler:           authenticated(tokens, route),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}
