package grant

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// precheckTime bounds one look at the authorization endpoint.
const precheckTime = 5 * time.Second

var (
	errForgotten   = errtext.New("the authorization endpoint does not know this client, which was registered there earlier; the registration is dropped")
	errOtherScopes = errtext.New("the authorization endpoint refuses the scopes to this client; ask for others with Config.Scopes")
)

// precheck finds out, before a window opens, whether the server takes a client that
// was registered some time ago, and the scopes. It sends the authorization request
// itself, with a state and a challenge that are for nothing else, and follows
// nothing: most servers answer a page or a redirect to a login if they know the
// client, and a 4xx or a redirect with an error if not. One answer is not believed,
// nor is one that can have another reason.
func precheck(ctx context.Context, f *auth.Flow, client *auth.Client, redirectURI string) error {
	target, err := authorizationURL(f, client.ID, redirectURI, rand.Text(), oauth2.GenerateVerifier())
	if err != nil {
		return err
	}
	var code string
	for range 2 {
		if code = refusal(ctx, f, target); code == "" {
			return nil
		}
	}
	why := errForgotten
	if code == invalidScope {
		why = errOtherScopes
	}
	return &auth.AuthorizationError{Issuer: f.Server.Issuer, Code: code, Err: why}
}

// refusal sends one request and returns what the server refuses: the client, or
// the scopes; empty if it may be neither.
func refusal(ctx context.Context, f *auth.Flow, target string) string {
	ctx, cancel := context.WithTimeout(ctx, precheckTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return ""
	}
	// As browsers do: better-auth answers 200 and a document in place of redirects
	// where JSON is accepted by name.
	req.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	resp, err := f.HTTPClient().Do(req)
	if err != nil {
		return "" // the person will see
	}
	defer resp.Body.Close()
	switch status := resp.StatusCode; {
	case status >= 300 && status < 400:
		to, err := url.Parse(resp.Header.Get("Location"))
		if err != nil {
			return ""
		}
		return cmp.Or(blames(to.Query().Get("error")), blames(fragment(to).Get("error")))
	case status >= 400 && status < 500:
		body, err := httpx.ReadBody(resp.Body)
		if err != nil {
			return ""
		}
		if r := wire.ReadRefusal(body); r.Code != "" {
			return blames(r.Code)
		}
		// 403, 404 and 429 come from what stands before servers, too.
		if status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusUnprocessableEntity {
			return invalidClient
		}
	}
	return ""
}

const (
	invalidClient = "invalid_client"
	invalidScope  = "invalid_scope"
)

// blames returns what an error code refuses: the client or its redirect URI, or
// the scopes; empty if neither.
func blames(code string) string {
	switch code = httpx.ErrorCode(code); {
	case strings.Contains(code, "client"), code == "invalid_request", code == "invalid_redirect_uri":
		return invalidClient
	case code == invalidScope:
		return invalidScope
	}
	return ""
}

func fragment(u *url.URL) url.Values {
	v, _ := url.ParseQuery(u.Fragment)
	return v
}
