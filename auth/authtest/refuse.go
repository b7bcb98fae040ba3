package authtest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Refusal is a rule by which a [Resource] refuses requests that it would otherwise accept: servers
// refuse good tokens too. It applies to the requests that fit every condition which is set; the zero
// Refusal refuses everything, with 401 and invalid_token.
//
//	res.Refuse(authtest.Refusal{Younger: 3 * time.Second})   // replicas that learn of a token late, a clock behind
//	res.Refuse(authtest.Refusal{Method: "GET"})              // a gateway that never lets the stream pass
//	res.Refuse(authtest.Refusal{Tool: "search"})             // a tool whose upstream refuses
//	res.Refuse(authtest.Refusal{Chance: 0.3, Seed: 1})       // one replica of three with the wrong keys
//	res.Refuse(authtest.Refusal{StaleSession: true})         // a restarted server
//	res.Refuse(authtest.Refusal{For: 5 * time.Minute})       // trouble for a while
type Refusal struct {
	// Method is the HTTP method, "GET" for instance. Default: any.
	Method string
	// Path is the whole path of the URL. Default: any.
	Path string
	// RPC is the JSON-RPC method, "tools/list" for instance, and Tool the tool of a tools/call. One
	// message of a batch is enough. Default: any.
	RPC, Tool string
	// StaleSession is an Mcp-Session-Id that the handler did not hand out since the rule was set, as
	// after the restart of a server. Default: false, with any or none.
	StaleSession bool
	// Younger is the age of the access token below which it is refused. Default: 0, at any age.
	Younger time.Duration
	// Chance is the probability of the refusal of each request that fits, drawn from its own source,
	// which begins with Seed: the same requests in the same order have the same fate. Default: 0,
	// which means always.
	Chance float64
	Seed   uint64
	// Times is how many requests the rule refuses before it ends. Default: 0, no limit.
	Times int
	// For is how long the rule holds. Default: 0, until [Rule.End].
	For time.Duration

	// Status is the answer's. Default: 401.
	Status int
	// Error is the code in the challenge. Default: "invalid_token".
	Error string
	// NoError leaves the code out of the challenge. Default: false.
	NoError bool
}

// Rule is a [Refusal] in force. Get one from [Resource.Refuse].
type Rule struct {
	refusal Refusal
	until   time.Time // zero: forever

	mu       sync.Mutex
	random   *rand.Rand
	sessions map[string]bool // handed out since; nil unless StaleSession is set
	ended    bool
	refused  int
}

// Refuse sets a rule, in addition to those which are set. The first that fits a request refuses it.
// Requests without a good token are refused as usual. A Refusal that makes no sense fails the test;
// after [Start], Refuse panics.
func (res *Resource) Refuse(r Refusal) *Rule {
	switch {
	case r.Chance < 0 || r.Chance > 1:
		res.srv.misused("Refusal.Chance is %v: use a probability, from 0 to 1", r.Chance)
	case r.Younger < 0, r.For < 0, r.Times < 0:
		res.srv.misused("Refusal.Younger, Times and For must not be negative: use 0 for no limit")
	case r.NoError && r.Error != "":
		res.srv.misused("Refusal.Error and NoError are both set: use one of them")
	case r.Tool != "" && r.RPC != "" && r.RPC != toolsCall:
		res.srv.misused("Refusal.Tool is for tools/call, not for %q: leave RPC empty", r.RPC)
	}
	if r.Status == 0 {
		r.Status = http.StatusUnauthorized
	}
	if r.Error == "" && !r.NoError {
		r.Error = "invalid_token"
	}
	rule := &Rule{refusal: r, random: rand.New(rand.NewPCG(r.Seed, 0))}
	if r.For > 0 {
		rule.until = time.Now().Add(r.For)
	}
	if r.StaleSession {
		rule.sessions = map[string]bool{}
	}
	res.mu.Lock()
	defer res.mu.Unlock()
	res.rules = append(res.rules, rule)
	return rule
}

// End ends the rule. Further calls do nothing.
func (r *Rule) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// Refused returns how many requests the rule refused so far.
func (r *Rule) Refused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

const (
	toolsCall     = "tools/call"
	sessionHeader = "Mcp-Session-Id"
)

// reads reports whether the rule depends on what is in the body.
func (r *Rule) reads() bool { return r.refusal.RPC != "" || r.refusal.Tool != "" }

// refuses decides about a request, and counts it if it is refused.
func (r *Rule) refuses(req *http.Request, age time.Duration, batch []message) bool {
	c := &r.refusal
	if c.Method != "" && c.Method != req.Method || c.Path != "" && c.Path != req.URL.Path ||
		c.Younger > 0 && age >= c.Younger || r.reads() && !c.names(batch) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	session := req.Header.Get(sessionHeader)
	switch {
	case r.ended,
		!r.until.IsZero() && !time.Now().Before(r.until),
		c.Times > 0 && r.refused >= c.Times,
		c.StaleSession && (session == "" || r.sessions[session]),
		c.Chance > 0 && r.random.Float64() >= c.Chance:
		return false
	}
	r.refused++
	return true
}

// names reports whether one of the messages is meant.
func (c *Refusal) names(batch []message) bool {
	for _, m := range batch {
		if (c.RPC == "" || c.RPC == m.Method) && (c.Tool == "" || m.Method == toolsCall && c.Tool == m.Params.Name) {
			return true
		}
	}
	return false
}

// refuse answers a request that a rule refuses, and reports whether there was one. w is what the
// handler has to write to otherwise.
func (res *Resource) refuse(w http.ResponseWriter, r *http.Request, age time.Duration) (out http.ResponseWriter, refused bool) {
	res.mu.Lock()
	rules := res.rules[:len(res.rules):len(res.rules)]
	res.mu.Unlock()
	var batch []message
	for _, rule := range rules {
		if rule.reads() && batch == nil && r.Method == http.MethodPost {
			body, ok := readBody(w, r)
			if !ok {
				return w, true
			}
			batch = messages(body)
		}
		if rule.refuses(r, age, batch) {
			res.challenge(w, r, rule.refusal.Status, rule.refusal.Error, res.protection.Scopes)
			return w, true
		}
		if rule.sessions != nil {
			w = &sessionWriter{ResponseWriter: w, rule: rule}
		}
	}
	return w, false
}

// sessionWriter notes the session that a handler opens, before its client can hear of it.
type sessionWriter struct {
	http.ResponseWriter
	rule *Rule
}

func (w *sessionWriter) note() {
	if id := w.Header().Get(sessionHeader); id != "" {
		w.rule.mu.Lock()
		defer w.rule.mu.Unlock()
		w.rule.sessions[id] = true
	}
}

func (w *sessionWriter) WriteHeader(status int) {
	w.note()
	w.ResponseWriter.WriteHeader(status)
}

func (w *sessionWriter) Write(b []byte) (int, error) {
	w.note()
	return w.ResponseWriter.Write(b)
}

// Flush is there because MCP handlers insist on an http.Flusher.
func (w *sessionWriter) Flush() {
	w.note()
	_ = http.NewResponseController(w.ResponseWriter).Flush() // as far as it can be flushed
}

func (w *sessionWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// misused reports a mistake in the test itself.
func (s *Server) misused(format string, args ...any) {
	text := "authtest: " + fmt.Sprintf(format, args...)
	if s.tb == nil {
		panic(text)
	}
	s.tb.Helper()
	s.tb.Fatalf("%s", text)
}
