package grant

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/wire"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

const memberPAR = "pushed_authorization_request_endpoint"

// maxRequestURI bounds a request_uri, in bytes: it goes into a URL that a browser
// opens.
const maxRequestURI = 2048

var (
	errNoPAR      = errtext.New("the server requires pushed authorization requests (RFC 9126), but its metadata has no " + memberPAR + "; set Config.Server.PushedAuthorizationRequestEndpoint")
	errRequestURI = errtext.New("the answer to the pushed authorization request has no request_uri that can be used (RFC 9126 section 2.2)")
)

// push sends the authorization request target to the server ahead of the user, if
// the server requires that or offers it (RFC 9126), and returns what the user
// visits instead: it can be used once. The client proves itself as at the token
// endpoint, and nobody can read or change the request on its way through the
// browser.
//
// An endpoint that is offered but is not there is passed over, so that the user can
// log in.
func push(ctx context.Context, f *auth.Flow, client *auth.Client, target string) (string, error) {
	srv := f.Server
	if srv.PushedAuthorizationRequestEndpoint == "" {
		if !srv.RequirePushedAuthorizationRequests {
			return target, nil
		}
		err := srv.Problem(memberPAR)
		if err == nil {
			err = errNoPAR
		}
		return "", &auth.AuthorizationError{Issuer: srv.Issuer, Err: err}
	}
	form, visit, err := splitRequest(srv.AuthorizationEndpoint, target)
	if err != nil {
		return "", &auth.AuthorizationError{Issuer: srv.Issuer, Err: err}
	}
	const name = "pushed authorization request"
	body, err := f.Post(ctx, auth.Post{Endpoint: srv.PushedAuthorizationRequestEndpoint, Client: client, Form: form, Name: name})
	var te *auth.TokenError
	if errors.As(err, &te) && (te.StatusCode == http.StatusNotFound || te.StatusCode == http.StatusMethodNotAllowed) && !srv.RequirePushedAuthorizationRequests {
		return target, nil
	}
	if err != nil {
		return "", err
	}
	o, err := wire.ReadObject(body, "request_uri")
	if err != nil {
		return "", unusable(srv, name, err)
	}
	uri, _ := o.String("request_uri")
	if uri == "" || len(uri) > maxRequestURI {
		return "", unusable(srv, name, errRequestURI)
	}
	q := visit.Query()
	q.Set("client_id", client.ID)
	q.Set("request_uri", uri)
	visit.RawQuery = q.Encode()
	return visit.String(), nil
}

// splitRequest takes the parameters of an authorization request out of its URL.
// Those that the endpoint's URL has by itself stay there.
func splitRequest(endpoint, target string) (form url.Values, visit *url.URL, err error) {
	visit, err = url.Parse(endpoint)
	if err != nil {
		return nil, nil, errors.New("authorization_endpoint is not a URL")
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, nil, errors.New("authorization_endpoint is not a URL")
	}
	form = u.Query()
	for name, values := range visit.Query() {
		if slices.Equal(form[name], values) {
			form.Del(name)
		}
	}
	return form, visit, nil
}
