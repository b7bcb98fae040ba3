package clientauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/clientauth"
)

// The key of RFC 8037 appendix A, which everybody knows.
const pemKey = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
`

const jwkKey = `{"kty":"OKP","crv":"Ed25519","kid":"2026-07","alg":"EdDSA",
 "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
 "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

// show prints what a token request of c carries.
func show(c auth.Client) {
	r := &auth.ClientAuthRequest{
		ClientID: c.ID, ClientSecret: c.Secret,
		Issuer: "https://as.example", Endpoint: "https://as.example/token",
		Header: http.Header{}, Form: url.Values{},
	}
	if err := c.Auth.Authenticate(context.Background(), r); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Auth.Method(), r.Header.Get("Authorization"), strings.SplitN(r.Form.Encode(), ".", 2)[0])
}

func ExampleNone() {
	show(auth.Client{ID: "cli", Auth: clientauth.None{}})
	// Output: none  client_id=cli
}

func ExampleSecretBasic() {
	show(auth.Client{ID: "svc", Secret: "s3cret", Auth: clientauth.SecretBasic{}})
	// Output: client_secret_basic Basic c3ZjOnMzY3JldA==
}

func ExampleSecretPost() {
	show(auth.Client{ID: "svc", Secret: "s3cret", Auth: clientauth.SecretPost{}})
	// Output: client_secret_post  client_id=svc&client_secret=s3cret
}

func ExamplePrivateKeyJWT() {
	key, err := clientauth.LoadKey([]byte(pemKey))
	if err != nil {
		fmt.Println(err)
		return
	}
	show(auth.Client{ID: "svc", Auth: clientauth.PrivateKeyJWT{Key: key}})
	// Output: private_key_jwt  client_assertion=eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9
}

func ExampleLoadKey() {
	_, err := clientauth.LoadKey([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	fmt.Println(err)
	// Output: clientauth: the private key is encrypted: decrypt it first, as with openssl pkey -in key.pem -out plain.pem
}

func ExampleLoadJWK() {
	key, kid, alg, err := clientauth.LoadJWK([]byte(jwkKey))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(clientauth.PrivateKeyJWT{Key: key, KeyID: kid, Algorithm: alg}) // shows no key
	// Output: clientauth.PrivateKeyJWT{alg "EdDSA" kid "2026-07"}
}
