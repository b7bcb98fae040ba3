package finder

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// legacy returns the MCP server itself: one of MCP 2025-03-26 is its own authorization server.
//
// If it fails where its metadata would be, as trouble says, that may be all it knows of these
// paths, or a fault. Its origin tells: it has a document, or fails as well. One that answers 404
// there knows what it does not have, so the failure is a fault, unless the credential shows that
// it is its own server.
//
// Default endpoints that are a guess are not remembered: the server may be one that was down.
func (f *Finder) legacy(ctx context.Context, q Query, w wanted, trouble error) (*discovery.AuthorizationServer, error) {
	srv, err := f.servers.get(ctx, q.Resource, serverKey{at: q.Resource}, w, func(ctx context.Context) (srv *discovery.AuthorizationServer, err error) {
		client := f.discover(q.Resource)
		if trouble == nil || isOwnServer(q) {
			srv, err = client.Legacy(ctx, q.Resource)
		} else if srv, err = client.AuthorizationServer(ctx, origin(q.Resource)); errors.Is(err, discovery.ErrNotFound) {
			return nil, trouble
		}
		if err != nil && f.homeOf(q.Resource).neverAnswers(atOrigin, err) {
			return nil, errNeverAnswers
		}
		return srv, err
	})
	if err == errNeverAnswers {
		return (&discovery.Client{HTTPClient: &http.Client{Transport: nowhere{}}, Network: f.cfg.Network}).Legacy(ctx, q.Resource)
	}
	return srv, err
}

var errNeverAnswers = errors.New("the server has no metadata, it seems")

// nowhere answers 404, as a server does that has no metadata.
type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// isOwnServer reports whether the credential is of the resource's own origin, as those of
// servers of MCP 2025-03-26 are.
func isOwnServer(q Query) bool {
	return q.Issuer != "" && discovery.SameIssuer(origin(q.Resource), q.Issuer)
}

func origin(resource string) string {
	u, err := url.Parse(resource)
	if err != nil {
		return "" // it was parsed when it was configured
	}
	return httpx.Origin(u)
}

// answered5xx reports whether a server answered that it cannot answer, and not that it soon can.
func answered5xx(err error) bool {
	var de *discovery.Error
	return errors.As(err, &de) && de.StatusCode >= 500 && de.RetryAfter == 0
}

// Where a server of MCP 2025-03-26 is asked for metadata.
const (
	atResource = iota
	atOrigin
	places
)

// A place that answers 5xx for patience has nothing there: gateways answer 502 or 503, and some
// servers 500, for paths they do not know. Two failures with more than oneOutageGap between
// them are two outages.
const (
	patience     = 2 * time.Second
	oneOutageGap = time.Minute
)

type fault struct {
	first, last time.Time
	never       bool
}

// neverAnswers takes note of a failure at a place and reports whether to give up on it. It does
// not for a resource that has had metadata, nor when the server says to come back later.
func (h *home) neverAnswers(place int, err error) bool {
	if !answered5xx(err) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	fl, now := &h.faults[place], wallNow()
	if since := now.Sub(fl.last); since < 0 || since > oneOutageGap {
		fl.first = now
	}
	fl.last = now
	fl.never = !h.documented && (fl.never || now.Sub(fl.first) >= patience)
	return fl.never
}
