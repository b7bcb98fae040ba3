package authtest

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Endpoint names a place where faults can be injected.
type Endpoint string

// The endpoints of the authorization server and of the protected resources. Faults at the last two
// meet the requests of all resources of a server. RefreshRequests is no place of its own: it is those
// requests at the token endpoint which bring a refresh token, and their faults go before
// TokenEndpoint's.
const (
	AuthorizeEndpoint        Endpoint = "authorize"         // RFC 6749 section 3.1
	TokenEndpoint            Endpoint = "token"             // RFC 6749 section 3.2
	RefreshRequests          Endpoint = "refresh"           // RFC 6749 section 6
	RegistrationEndpoint     Endpoint = "register"          // RFC 7591 section 3
	RevocationEndpoint       Endpoint = "revoke"            // RFC 7009 section 2
	IntrospectionEndpoint    Endpoint = "introspect"        // RFC 7662 section 2
	DeviceEndpoint           Endpoint = "device"            // RFC 8628 section 3.1
	PAREndpoint              Endpoint = "par"               // RFC 9126 section 2
	MetadataEndpoint         Endpoint = "metadata"          // RFC 8414 section 3, every well-known form
	ResourceMetadataEndpoint Endpoint = "resource metadata" // RFC 9728 section 3, every well-known form
	ResourceEndpoint         Endpoint = "resource"          // the protected MCP endpoint
)

// Inject queues faults at an endpoint. Each request takes one, in order; requests after the last go
// well again. A zero Fault in the queue lets one request go well. At ResourceEndpoint, faults that
// process the request hold the handler's answer back until it is complete: a handler that streams
// without end has none.
func (s *Server) Inject(e Endpoint, faults ...Fault) { s.faults.queue(e, faults) }

// InjectAlways lets every request at an endpoint meet the fault, after those queued by
// [Server.Inject], until [Server.ClearFaults].
func (s *Server) InjectAlways(e Endpoint, f Fault) { s.faults.lasts(e, lasting{fault: f}) }

// InjectFor is [Server.InjectAlways] for d from now, the time of an outage or of throttling.
func (s *Server) InjectFor(e Endpoint, d time.Duration, f Fault) {
	s.faults.lasts(e, lasting{f, time.Now().Add(d)})
}

// ClearFaults ends all faults at an endpoint, queued ones included.
func (s *Server) ClearFaults(e Endpoint) { s.faults.clear(e) }

type injector struct {
	mu      sync.Mutex
	queued  map[Endpoint][]Fault
	lasting map[Endpoint]lasting
}

// lasting is a fault that every request meets.
type lasting struct {
	fault Fault
	until time.Time // zero: forever
}

func (i *injector) queue(e Endpoint, faults []Fault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.queued == nil {
		i.queued = map[Endpoint][]Fault{}
	}
	i.queued[e] = append(i.queued[e], faults...)
}

func (i *injector) lasts(e Endpoint, l lasting) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.lasting == nil {
		i.lasting = map[Endpoint]lasting{}
	}
	i.lasting[e] = l
}

func (i *injector) clear(e Endpoint) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.queued, e)
	delete(i.lasting, e)
}

// next returns the fault that a request meets; its zero value for none.
func (i *injector) next(e Endpoint) Fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	if q := i.queued[e]; len(q) > 0 {
		i.queued[e] = q[1:]
		return q[0]
	}
	if l := i.lasting[e]; l.until.IsZero() || time.Now().Before(l.until) {
		return l.fault
	}
	return Fault{}
}

// exchange is one request on its way through a fault to its endpoint.
type exchange struct {
	srv      *Server
	endpoint Endpoint
	w        http.ResponseWriter
	r        *http.Request
	next     http.Handler  // the endpoint itself
	res      *Resource     // at a resource; nil at the authorization server
	rec      *TokenRequest // at the token endpoint
}

// handle sends a request for an endpoint of the authorization server, or for a metadata document,
// through the fault that is due.
func (s *Server) handle(e Endpoint, w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	x := &exchange{srv: s, endpoint: e, w: w, r: r, next: s.rewriting(e, next)}
	f := s.fault(e, body)
	x.rec = s.record.arrived(e, f, r, body)
	f.apply(x)
}

// fault returns the fault that a request with that body meets.
func (s *Server) fault(e Endpoint, body []byte) Fault {
	if e == TokenEndpoint {
		form, _ := url.ParseQuery(string(body)) // what is malformed the endpoint will refuse
		if form.Get("grant_type") == "refresh_token" {
			if f := s.faults.next(RefreshRequests); f.do != nil {
				return f
			}
		}
	}
	return s.faults.next(e)
}

// maxBody bounds what the kit reads of a request, so that a client that goes wrong does not take the test
// process with it.
const maxBody = 16 << 20

// readBody reads the whole body and puts it back. A request that was read to its end is also one
// whose client is noticed when it leaves.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "cannot read the request body", http.StatusBadRequest)
		return nil, false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, true
}

// pass lets the endpoint answer as if there were no fault.
func (x *exchange) pass() {
	if x.endpoint == ResourceEndpoint {
		x.next.ServeHTTP(x.w, x.r) // may stream
		return
	}
	x.send(x.process())
}

// process lets the endpoint do its work and holds its answer back.
func (x *exchange) process() *answer {
	a := &answer{status: http.StatusOK, header: http.Header{}}
	x.next.ServeHTTP(a, x.r)
	x.srv.record.processed(x.rec, a.status)
	return a
}

// send sends the endpoint's own answer. It is recorded first: a test may look at the record as soon
// as its client has the answer.
func (x *exchange) send(a *answer) {
	x.srv.record.answered(x.rec)
	a.writeTo(x.w, len(a.body))
}

// answer is a response held back. It is the http.ResponseWriter that the endpoint writes to.
type answer struct {
	status int
	wrote  bool
	header http.Header
	body   []byte
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.wrote, a.status = true, status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.wrote = true
	a.body = append(a.body, b...)
	return len(b), nil
}

// Flush does nothing: it is there because MCP handlers insist on an http.Flusher.
func (a *answer) Flush() {}

// writeTo writes the answer with a Content-Length for all of the body, but only n bytes of that.
func (a *answer) writeTo(w http.ResponseWriter, n int) {
	for name, values := range a.header {
		w.Header()[name] = slices.Clone(values)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body[:n]) // the client may have left
}
