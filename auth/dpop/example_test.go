package dpop_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/dpop"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// A manager with keys binds its tokens, where the authorization server does DPoP.
func ExampleKeys() {
	manager, err := auth.NewManager(auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Grant:    grant.AuthorizationCode{},
		DPoP:     dpop.Keys{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	fmt.Println(manager.Resource())
	// Output: https://mcp.example.com/mcp
}

// A transport of your own adds two headers to each request, and hands every
// response back for its nonce. transport.RoundTripper does that, and also sends
// the request again when the server refuses it because a nonce is missing.
func ExampleKeys_ownTransport() {
	send := func(ctx context.Context, m *auth.Manager, req *http.Request) (*http.Response, error) {
		token, err := m.Token(ctx)
		if err != nil {
			return nil, err
		}
		proof, err := token.Proof(ctx, req.Method, req.URL.String())
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", token.Authorization())
		if proof != "" { // the token is bound to a key
			req.Header.Set("DPoP", proof)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			token.ObserveNonce(req.URL.String(), resp.Header)
		}
		return resp, err
	}
	_ = send
}

func ExampleKey_Proof() {
	key, err := dpop.Keys{}.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	proof, err := key.Proof(context.Background(), auth.Proof{Method: "POST", URL: "https://as.example.com/token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.SplitN(proof, "sImp3ayI6", 2)[0]) // {"alg":"ES256","jwk":…
	// Output: eyJhbGciOiJFUzI1NiI
}

// A key that was stored is the same key, so tokens bound to it go on working.
func ExampleKeys_Load() {
	key, err := dpop.Keys{Algorithm: dpop.EdDSA}.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	der, err := key.Marshal() // a secret
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := dpop.Keys{}.Load(der)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key.(*dpop.Key).Thumbprint() == again.(*dpop.Key).Thumbprint())
	// Output: true
}
