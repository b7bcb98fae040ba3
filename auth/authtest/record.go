package authtest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Counts is what happened at a [Server] so far. Requests are counted when they arrive, those which
// meet a fault included.
type Counts struct {
	Authorize, Token, Register, Revoke, Introspect int
	Metadata, ResourceMetadata                     int
	Device, PAR                                    int // see DeviceEndpoint and PAREndpoint
	// TokenByGrant counts token requests by grant_type.
	TokenByGrant map[string]int
	// Refreshes is TokenByGrant["refresh_token"].
	Refreshes int
	// RotationsIssued counts refresh tokens that were replaced by a new one.
	RotationsIssued int
	// ReusedRefreshTokens counts spent refresh tokens that came back after their grace.
	ReusedRefreshTokens int
	// FamiliesRevoked counts the authorizations that such reuse revoked.
	FamiliesRevoked int
	// Faults counts requests, at resources too, that met a fault.
	Faults int
}

// TokenRequest is a request that arrived at the token endpoint. It holds secrets, in full: this is
// a test kit, and its tokens open nothing.
type TokenRequest struct {
	Time      time.Time
	GrantType string
	Form      url.Values  // the body's parameters
	Header    http.Header // Authorization included
	Fault     string      // the name of the fault it met; "" for none
	Processed bool        // the endpoint did its work: codes and refresh tokens are spent
	Status    int         // what the endpoint answered; 0 if it did not process the request
	Answered  bool        // that answer was sent whole
}

// Counts returns what happened so far.
func (s *Server) Counts() Counts {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	c := s.record.counts
	c.TokenByGrant = maps.Clone(c.TokenByGrant)
	if c.TokenByGrant == nil {
		c.TokenByGrant = map[string]int{}
	}
	c.Refreshes = c.TokenByGrant["refresh_token"]
	return c
}

// TokenRequests returns the token requests so far, in the order of their arrival.
func (s *Server) TokenRequests() []TokenRequest {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	out := make([]TokenRequest, 0, len(s.record.tokens))
	for _, r := range s.record.tokens {
		c := *r
		c.Form, c.Header = cloneValues(r.Form), r.Header.Clone()
		out = append(out, c)
	}
	return out
}

func cloneValues(v url.Values) url.Values {
	c := make(url.Values, len(v))
	for name, values := range v {
		c[name] = slices.Clone(values)
	}
	return c
}

type recorder struct {
	mu     sync.Mutex
	counts Counts
	tokens []*TokenRequest
}

// arrived counts a request, and records it if it is for the token endpoint.
func (r *recorder) arrived(e Endpoint, f Fault, req *http.Request, body []byte) *TokenRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	if f.do != nil {
		c.Faults++
	}
	switch e {
	case AuthorizeEndpoint:
		c.Authorize++
	case RegistrationEndpoint:
		c.Register++
	case RevocationEndpoint:
		c.Revoke++
	case IntrospectionEndpoint:
		c.Introspect++
	case DeviceEndpoint:
		c.Device++
	case PAREndpoint:
		c.PAR++
	case MetadataEndpoint:
		c.Metadata++
	case ResourceMetadataEndpoint:
		c.ResourceMetadata++
	case TokenEndpoint:
		c.Token++
		form, _ := url.ParseQuery(string(body)) // what is malformed the endpoint will refuse
		rec := &TokenRequest{Time: time.Now(), GrantType: form.Get("grant_type"), Form: form, Header: req.Header.Clone()}
		if f.do != nil {
			rec.Fault = f.String()
		}
		if c.TokenByGrant == nil {
			c.TokenByGrant = map[string]int{}
		}
		c.TokenByGrant[rec.GrantType]++
		r.tokens = append(r.tokens, rec)
		return rec
	}
	return nil
}

func (r *recorder) processed(rec *TokenRequest, status int) {
	if rec == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.Processed, rec.Status = true, status
}

func (r *recorder) answered(rec *TokenRequest) {
	if rec == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.Answered = true
}

func (r *recorder) rotated() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.RotationsIssued++
}

// reused counts the return of a spent refresh token, and whether that revoked its family.
func (r *recorder) reused(revoked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.ReusedRefreshTokens++
	if revoked {
		r.counts.FamiliesRevoked++
	}
}
