package authtest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Protection says how a [Resource] is protected. The zero value lets every valid token pass.
type Protection struct {
	// URL is the resource's name: scheme and host, such as "https://mcp.example.com". It is reached as
	// [Config].URL is. Not with SameOrigin. Default: the address it listens on.
	URL string
	// Path is where the handler is mounted, subtree included. Default: "/mcp". "/" is everything
	// but the metadata.
	Path string
	// SameOrigin mounts the handler at the authorization server's own address, where clients of MCP
	// 2025-03-26 look for authorization servers. Default: false, an address of its own.
	SameOrigin bool
	// Scopes are needed for every request, named in challenges and advertised as scopes_supported.
	// Default: none.
	Scopes []string
	// ToolScopes are needed, beyond Scopes, for a tools/call of the tool of that name. Default: none.
	ToolScopes map[string][]string
	// InBand answers a tools/call that lacks ToolScopes with a tool result, as hosted servers do: its
	// _meta["mcp/www_authenticate"] holds the challenge. Default: false, a 403.
	InBand bool
	// MethodScopes are needed, beyond Scopes, for JSON-RPC requests of that method, "resources/read"
	// for instance. Default: none.
	MethodScopes map[string][]string

	// InvalidTokenStatus is the status of the refusal, with error="invalid_token", of a token that is
	// unknown, expired, revoked or for another resource; some servers use 403 or 400. Default: 401 (RFC
	// 6750 section 3.1).
	InvalidTokenStatus int
	// NoMetadata serves no metadata document and leaves it out of challenges, like servers of MCP
	// 2025-03-26. Default: false.
	NoMetadata bool
	// NoChallengeParams makes challenges a bare "Bearer". Default: false.
	NoChallengeParams bool
	// AllowUnbound accepts tokens that were issued for no resource in particular. Default: false.
	AllowUnbound bool
	// AuthorizationServers are the issuers the metadata names. Default: the server's.
	AuthorizationServers []string
	// Metadata, if set, changes the protected resource metadata document (RFC 9728) just before it is
	// sent: set, replace or delete members. It may be called concurrently. Default: nil.
	Metadata func(doc map[string]any)
	// Challenge, if set, writes the whole response to a refused request in the kit's place. It may be
	// called concurrently. Default: nil.
	Challenge func(w http.ResponseWriter, r *http.Request, c Challenge)
}

// Challenge is a refusal that a resource is about to send.
type Challenge struct {
	Status int      // 401 or 403, or what Protection.InvalidTokenStatus or a Refusal says
	Error  string   // "invalid_token", "insufficient_scope" or "" if no token was sent; or what a Refusal says
	Scopes []string // needed for the request
	Header string   // the WWW-Authenticate header that the kit would send (RFC 6750 section 3)
}

// Resource is a protected MCP server. Get one from [Server.Protect].
type Resource struct {
	// URL is the MCP server's URL, and its resource identifier.
	URL string
	// MetadataURL is where its metadata is (RFC 9728 section 3.1). It is also at the root well-known
	// URL of its host.
	MetadataURL string

	srv        *Server
	path       string // Protection.Path without a trailing slash
	protection Protection
	handler    http.Handler

	mu     sync.Mutex
	counts ResourceCounts
	seen   []Seen
	rules  []*Rule
}

// ResourceCounts is what happened at a [Resource] so far, requests for its metadata not included.
type ResourceCounts struct {
	Requests     int // that arrived, those which met a fault included
	Accepted     int // passed on to the handler
	Unauthorized int // refused with 401, by a [Rule] too
	Forbidden    int // refused with 403, likewise
}

// Verdict is what a resource thinks of the credentials of a request.
type Verdict string

// The verdicts. All but Accepted and InsufficientScope earn a 401.
const (
	Accepted          Verdict = "accepted"
	Missing           Verdict = "missing"            // no Authorization header
	Malformed         Verdict = "malformed"          // not a single bearer token
	Unknown           Verdict = "unknown"            // not a token of this server
	Expired           Verdict = "expired"            //
	Revoked           Verdict = "revoked"            // alone or with its authorization
	WrongResource     Verdict = "wrong resource"     // a token for another resource, or for none
	InsufficientScope Verdict = "insufficient scope" // earns a 403
)

// Seen is an Authorization header that a resource was sent.
type Seen struct {
	Time    time.Time
	Method  string  // of the HTTP request
	Header  string  // the header's value
	Token   string  // the bearer token in it; "" if there is none
	Verdict Verdict // at arrival
}

// Protect puts a handler behind bearer token authorization. The resource ends with the server. If
// it cannot listen the test fails; after [Start], Protect panics like httptest.NewServer.
func (s *Server) Protect(h http.Handler, p Protection) *Resource {
	if p.Path == "" {
		p.Path = "/mcp"
	}
	if p.InvalidTokenStatus == 0 {
		p.InvalidTokenStatus = http.StatusUnauthorized
	}
	if p.AuthorizationServers == nil {
		p.AuthorizationServers = []string{s.Issuer}
	}
	res := &Resource{srv: s, protection: p, handler: h}
	if p.Path = strings.Trim(p.Path, "/"); p.Path != "" {
		res.path = "/" + p.Path
	}
	if p.SameOrigin {
		s.mount(res, s.URL)
		return res
	}
	l, err := s.net.listen()
	if err != nil {
		s.fail(fmt.Sprintf("authtest: cannot listen on the loopback network: %v", err))
		return res // only for a TB whose Fatalf returns
	}
	origin := "http://" + l.Addr().String()
	if p.URL != "" {
		origin = p.URL
		s.wires.name(l.Addr().String(), hostOf(p.URL))
	}
	s.mount(res, origin)
	s.hosts.serve(l, http.HandlerFunc(res.route))
	return res
}

// mount makes a resource known under an origin.
func (s *Server) mount(res *Resource, origin string) {
	res.URL = origin + res.path
	res.MetadataURL = origin + wellKnownResource + res.path
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.resources = append(s.state.resources, res)
}

// fail ends the test; after [Start] it panics.
func (s *Server) fail(text string) {
	if s.tb == nil {
		panic(text)
	}
	s.tb.Helper()
	s.tb.Fatalf("%s", text)
}

// Counts returns what happened so far.
func (res *Resource) Counts() ResourceCounts {
	res.mu.Lock()
	defer res.mu.Unlock()
	return res.counts
}

// Seen returns the credentials of all requests so far, in the order of their arrival: to check that
// nobody sent a token to a place where it does not belong.
func (res *Resource) Seen() []Seen {
	res.mu.Lock()
	defer res.mu.Unlock()
	return slices.Clone(res.seen)
}

// owns reports whether a path at the resource's origin is the handler's or the metadata's.
func (res *Resource) owns(path string) bool { return res.describes(path) || res.covers(path) }

func (res *Resource) describes(path string) bool {
	return path == wellKnownResource || path == wellKnownResource+res.path
}

func (res *Resource) covers(path string) bool {
	return path == res.path || strings.HasPrefix(path, res.path+"/") && !strings.HasPrefix(path, "/.well-known/")
}

func (res *Resource) route(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case res.describes(path) && !res.protection.NoMetadata:
		res.srv.handle(ResourceMetadataEndpoint, w, r, res.serveMetadata)
	case res.covers(path):
		res.handle(w, r)
	default:
		http.NotFound(w, r)
	}
}

// handle sends a request for the handler through the fault that is due. Its body is read only for
// that: without a fault it may be a stream.
func (res *Resource) handle(w http.ResponseWriter, r *http.Request) {
	token, _, verdict := res.judge(r)
	res.mu.Lock()
	res.counts.Requests++
	res.seen = append(res.seen, Seen{
		Time: time.Now(), Method: r.Method, Header: r.Header.Get("Authorization"), Token: token, Verdict: verdict,
	})
	res.mu.Unlock()
	f := res.srv.faults.next(ResourceEndpoint)
	if f.do != nil {
		if _, ok := readBody(w, r); !ok {
			return
		}
	}
	res.srv.record.arrived(ResourceEndpoint, f, r, nil)
	f.apply(&exchange{srv: res.srv, res: res, endpoint: ResourceEndpoint, w: w, r: r, next: http.HandlerFunc(res.serve)})
}

// serveMetadata serves the protected resource metadata (RFC 9728 section 2).
func (res *Resource) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if allow(w, r, http.MethodGet) {
		writeJSON(w, http.StatusOK, res.document())
	}
}

func (res *Resource) document() map[string]any {
	doc := map[string]any{
		"resource":                 res.URL,
		"authorization_servers":    res.protection.AuthorizationServers,
		"bearer_methods_supported": []string{"header"},
	}
	if len(res.protection.Scopes) > 0 {
		doc["scopes_supported"] = res.protection.Scopes
	}
	if res.protection.Metadata != nil {
		res.protection.Metadata(doc)
	}
	return doc
}

// is reports whether a resource indicator means this resource: by its URL, or by what its metadata
// calls it.
func (res *Resource) is(indicator string) bool {
	if sameResource(indicator, res.URL) {
		return true
	}
	name, _ := res.document()["resource"].(string)
	return name != "" && sameResource(indicator, name)
}

// sameResource compares two resource indicators. The specification wants servers to be lenient
// about the case of scheme and host, and about a trailing slash.
func sameResource(a, b string) bool {
	return canonical(a) == canonical(b)
}

func canonical(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.Scheme, u.Host, u.Path = strings.ToLower(u.Scheme), strings.ToLower(u.Host), strings.TrimSuffix(u.Path, "/")
	return u.String()
}
