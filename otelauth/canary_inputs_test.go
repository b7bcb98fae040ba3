package otelauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// lives are what may happen to a token, with secrets in everything that comes
// in. What the methods return goes to the outlet.
var lives = map[string]func(k *kit, o *outlet, tr authtrace.Tracer){
	"all goes well":            lifeWell,
	"answers of the server":    lifeWithAnswers,
	"errors of the network":    lifeWithNetwork,
	"errors of the store":      lifeWithStore,
	"a user who cannot answer": lifeWithUser,
	"a device":                 lifeWithDevice,
	"an identity provider":     lifeWithIDP,
	"panics":                   lifeWithPanics,
	"rejected tokens":          lifeWithRejections,
}

// secretive is a configuration whose own parts are canaries.
func (k *kit) secretive(o *outlet, tr authtrace.Tracer) auth.Config {
	k.srv.AddClient(clientID, planted("client"), callback)
	cfg := k.discovered()
	cfg.Resource += "?key=" + planted("resource-query")
	cfg.Client, cfg.TrustDiscovery = auth.Client{ID: clientID, Secret: planted("client")}, true
	cfg.Subject = planted("subject")
	cfg.Tracer, cfg.Logger = tr, o.logger()
	return cfg
}

// use calls every method that asks a server for something, each in a span.
func (k *kit) use(o *outlet, m *auth.Manager) {
	challenge := auth.Challenge{
		Status: 403, Error: "insufficient_scope", Scopes: []string{"write"}, Operation: "resources/read " + planted("operation"),
		ResourceMetadata: k.res.URL + "?key=" + planted("metadata-query"),
		Params:           map[string]string{"realm": planted("realm"), "error_description": planted("challenge")},
	}
	var tok *auth.Token
	for _, f := range []func(ctx context.Context) error{
		func(ctx context.Context) (err error) { tok, err = m.Authorize(ctx); return err },
		func(ctx context.Context) error { _, err := m.Refresh(ctx); return err },
		func(ctx context.Context) error { _, err := m.Token(ctx); return err },
		func(ctx context.Context) error { _, err := m.Resolve(ctx, tok, challenge); return err },
		func(ctx context.Context) error {
			_, err := m.Resolve(ctx, tok, auth.Challenge{Status: 401, Error: "invalid_token", Params: challenge.Params})
			return err
		},
		func(ctx context.Context) error { _, err := m.UpgradeScopes(ctx, "admin"); return err },
		m.Revoke,
	} {
		k.call(func(ctx context.Context) { o.failed(f(ctx)) })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
	}
}

func lifeWell(k *kit, o *outlet, tr authtrace.Tracer) {
	m := k.manager(k.secretive(o, tr))
	for range 2 {
		k.use(o, m)
	}
	tok := &auth.Token{AccessToken: planted("access"), RefreshToken: planted("refresh"), Expiry: time.Now().Add(time.Hour)}
	o.failed(m.SetToken(k.t.Context(), tok))
	k.use(o, m)
}

// lifeWithRejections has a server that rejects every token. The error says to the
// caller what the caller wanted to do, and nobody else may hear of it.
func lifeWithRejections(k *kit, o *outlet, tr authtrace.Tracer) {
	m := k.manager(k.secretive(o, tr))
	c := auth.Challenge{
		Status: 401, Error: "invalid_token", Operation: "tools/call " + planted("operation"),
		Params: map[string]string{"realm": planted("realm"), "error_description": planted("challenge")},
	}
	tok, err := m.Authorize(k.t.Context())
	o.failed(err)
	for range 12 {
		k.call(func(ctx context.Context) {
			again, err := m.Resolve(ctx, tok, c)
			if err == nil {
				tok = again
			} else if r := new(auth.RejectedError); errors.As(err, &r) {
				o.failed(fmt.Errorf("%s", strings.ReplaceAll(err.Error(), c.Operation, "")))
			} else {
				o.failed(err)
			}
		})
	}
}

// at is a client whose requests to one endpoint go elsewhere.
func (k *kit) at(endpoint string, f func(r *http.Request) (*http.Response, error)) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Path, endpoint) {
			if r.Body != nil {
				defer r.Body.Close()
				defer func() { _, _ = io.Copy(io.Discard, r.Body) }()
			}
			return f(r)
		}
		return distant{k.srv.Transport()}.RoundTrip(r)
	})}
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// echo repeats every secret of a token or revocation request, as it is, in a form's escapes and
// in capitals. All of them are leaks from now on.
func (o *outlet) echo(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return planted("body")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return planted("body")
	}
	var words []string
	for _, key := range []string{"code", "code_verifier", "refresh_token", "token", "client_secret", "assertion", "subject_token", "device_code"} {
		if s := form.Get(key); s != "" {
			words = append(words, s, url.QueryEscape(s), strings.ToUpper(s))
		}
	}
	if s, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Basic "); ok {
		words = append(words, s, planted("client"))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.echoed = append(o.echoed, words...)
	return strings.Join(words, " ")
}

// endpoints are parts of paths.
var endpoints = []string{"oauth-protected-resource", "oauth-authorization-server", "/register", "/token", "/revoke"}

// inWords are the answers that refuse in words. What a registration endpoint says is shown: it
// was sent no secret.
var inWords = map[string]bool{"error": true, "refused": true, "client refused": true, "secret as code": true}

// everywhere lives with each of the answers at each endpoint, which hold the secret
// s.
func (k *kit) everywhere(o *outlet, tr authtrace.Tracer, answers func(s string) map[string]func(r *http.Request) (*http.Response, error)) {
	for _, endpoint := range endpoints {
		for name, answer := range answers(planted("body")) {
			if endpoint == "/token" || endpoint == "/revoke" { // whose words are shown: they repeat what they were sent
				answer = func(r *http.Request) (*http.Response, error) {
					return answers(o.echo(r))[name](r)
				}
			}
			if endpoint == "/register" && inWords[name] {
				continue
			}
			var broken atomic.Bool
			cfg := k.secretive(o, tr)
			cfg.HTTPClient = k.at(endpoint, func(r *http.Request) (*http.Response, error) {
				if broken.Load() {
					return answer(r)
				}
				return distant{k.srv.Transport()}.RoundTrip(r)
			})
			if endpoint == "/register" {
				cfg.Client = auth.Client{}
			}
			broken.Store(endpoint != "/token" && endpoint != "/revoke")
			m := k.manager(cfg)
			k.call(func(ctx context.Context) { _, err := m.Authorize(ctx); o.failed(err) })
			broken.Store(true)
			k.use(o, m)
			o.failed(m.Close())
		}
	}
}

func lifeWithAnswers(k *kit, o *outlet, tr authtrace.Tracer) {
	const js = "application/json"
	says := func(status int, contentType, body string, headers ...string) func(r *http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			h := http.Header{
				"Content-Type": {contentType}, "X-Debug": {planted("header")},
				"Www-Authenticate": {`Bearer realm="` + planted("realm") + `", error="invalid_token", error_description="` + planted("challenge") + `"`},
			}
			for i := 0; i < len(headers); i += 2 {
				h.Set(headers[i], headers[i+1])
			}
			return &http.Response{
				StatusCode: status, Status: fmt.Sprintf("%d %s", status, planted("reason")), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r,
			}, nil
		}
	}
	k.everywhere(o, tr, func(s string) map[string]func(r *http.Request) (*http.Response, error) {
		return map[string]func(r *http.Request) (*http.Response, error){
			"error":               says(400, js, `{"error":"invalid_request","error_description":"`+s+`","error_uri":"https://h/`+s+`","x":"`+s+`"}`),
			"refused":             says(400, js, `{"error":"invalid_grant","error_description":"`+s+`"}`),
			"client refused":      says(401, js, `{"error":"invalid_client","error_description":"`+s+`"}`),
			"secret as code":      says(400, js, `{"error":"`+s+`"}`),
			"code of wrong type":  says(400, js, `{"error":["`+s+`"]}`),
			"busy":                says(503, "text/plain", s, "Retry-After", planted("retry-after")),
			"page":                says(500, "text/html", "<h1>"+s),
			"page for an answer":  says(200, "text/html", "<h1>"+s),
			"garbage":             says(200, js, `{"access_token":"`+s+`",`),
			"wrong types":         says(200, js, `{"access_token":{"`+s+`":1},"token_type":"Bearer","issuer":["`+s+`"],"client_id":["`+s+`"]}`),
			"no type":             says(200, js, `{"access_token":"`+s+`"}`),
			"unknown type":        says(200, js, `{"access_token":"`+s+`","token_type":"`+s+`"}`),
			"token":               says(200, js, `{"access_token":"`+planted("access")+`","token_type":"Bearer","refresh_token":"`+planted("refresh")+`","id_token":"`+planted("id")+`","expires_in":60,"issuer":"https://as.example.com/?`+s+`","client_id":"public","client_secret":"`+planted("registered")+`","registration_access_token":"`+planted("management")+`"}`),
			"redirect":            says(307, "text/plain", s, "Location", "https://evil.example.com/"+planted("location")+"?"+s),
			"redirect to oneself": says(302, "text/plain", s, "Location", "?key="+planted("location-query")),
			"broken off": func(r *http.Request) (*http.Response, error) {
				resp, err := says(200, js, "")(r)
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"`+s), failingReader{errors.New(planted("read"))}))
				return resp, err
			},
		}
	})
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func lifeWithNetwork(k *kit, o *outlet, tr authtrace.Tracer) {
	s := planted("network")
	answers := map[string]func(r *http.Request) (*http.Response, error){}
	for _, err := range []error{
		errors.New(s),
		fmt.Errorf("%s: %w", s, io.ErrUnexpectedEOF),
		fmt.Errorf("%s: %w", s, context.DeadlineExceeded),
		&net.OpError{Op: "dial", Net: s, Err: errors.New(s)},
		&net.DNSError{Err: s, Name: s, Server: s},
		&url.Error{Op: "Get", URL: "https://h/?" + s, Err: errors.New(s)},
	} {
		answers[fmt.Sprintf("%T", err)] = func(*http.Request) (*http.Response, error) { return nil, err }
	}
	k.everywhere(o, tr, func(string) map[string]func(r *http.Request) (*http.Response, error) { return answers })
}

// grumpyStore fails in the words of the moods' errors.
type grumpyStore struct {
	auth.MemoryStore
	mood atomic.Pointer[mood]
}

type mood struct {
	load, save, lock, del error
	panics                string // in Lock, if set
}

func newGrumpyStore() *grumpyStore {
	s := new(grumpyStore)
	s.mood.Store(new(mood))
	return s
}

func (s *grumpyStore) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	if err := s.mood.Load().load; err != nil {
		return nil, err
	}
	return s.MemoryStore.Load(ctx, key)
}

func (s *grumpyStore) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	if err := s.mood.Load().save; err != nil {
		return 0, err
	}
	return s.MemoryStore.Save(ctx, key, r)
}

func (s *grumpyStore) Delete(ctx context.Context, key auth.Key, generation uint64) error {
	if err := s.mood.Load().del; err != nil {
		return err
	}
	return s.MemoryStore.Delete(ctx, key, generation)
}

func (s *grumpyStore) Lock(ctx context.Context, key auth.Key) (func(), error) {
	m := s.mood.Load()
	if m.panics != "" {
		panic(m.panics)
	}
	if m.lock != nil {
		return nil, m.lock
	}
	return s.MemoryStore.Lock(ctx, key)
}

func lifeWithStore(k *kit, o *outlet, tr authtrace.Tracer) {
	err := quoting("store")
	for _, broken := range []*mood{{load: err}, {save: err}, {lock: err}, {del: err}} {
		store := newGrumpyStore()
		cfg := k.secretive(o, tr)
		cfg.Store = store
		m := k.manager(cfg)
		k.call(func(ctx context.Context) { _, err := m.Authorize(ctx); o.failed(err) })
		store.mood.Store(broken)
		k.use(o, m)
		store.mood.Store(new(mood))
	}
}

// quoting is an error of the program's own, whose words are shown, around one of
// net/http's, which is not: it has a URL with a key in it, and a server's words.
func quoting(where string) error {
	return fmt.Errorf("the program's own words: %w", &url.Error{Op: "Get", URL: "https://h/?key=" + planted(where), Err: errors.New(planted(where))})
}

// agent is a user agent that fails, or comes back with answer.
type agent struct {
	start, visit error
	answer       url.Values
}

func (a agent) Start(context.Context, []string) (auth.UserAgentSession, error) { return a, a.start }
func (a agent) RedirectURI() string                                            { return callback }
func (a agent) Finish(error)                                                   {}
func (a agent) Visit(context.Context, string, string) (url.Values, error) {
	time.Sleep(time.Second)
	return a.answer, a.visit
}

// own is a grant of somebody's own.
type own struct{ err error }

func (own) Type() string      { return "own" }
func (own) Interactive() bool { return true }
func (g own) Authorize(ctx context.Context, f *auth.Flow) (*auth.Token, error) {
	_, answered := f.AwaitUser(ctx)
	answered(g.err)
	return nil, g.err
}

func lifeWithUser(k *kit, o *outlet, tr authtrace.Tracer) {
	for _, g := range []auth.Grant{
		grant.AuthorizationCode{UserAgent: agent{start: quoting("agent-start")}},
		grant.AuthorizationCode{UserAgent: agent{visit: quoting("agent-visit")}},
		grant.AuthorizationCode{UserAgent: agent{answer: url.Values{"code": {planted("code")}, "iss": {planted("iss")}}}},
		grant.AuthorizationCode{UserAgent: agent{answer: url.Values{"code": {planted("code")}}}},
		grant.AuthorizationCode{UserAgent: agent{answer: url.Values{"error": {planted("error")}, "error_description": {"a sentence of the server's"}}}},
		grant.DeviceCode{Prompt: func(context.Context, grant.DevicePrompt) error { return quoting("prompt") }},
		own{quoting("own")},
	} {
		cfg := k.secretive(o, tr)
		cfg.Grant = g
		k.use(o, k.manager(cfg))
	}
}

// scripted answers POSTs by their paths.
func scripted(answers map[string]func(form url.Values) string) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		time.Sleep(latency)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		status, text := 200, answers[r.URL.Path](form)
		if strings.Contains(text, `"error"`) {
			status = 400
		}
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
	})}
}

func lifeWithDevice(k *kit, o *outlet, tr authtrace.Tracer) {
	var polls atomic.Int32
	cfg := k.secretive(o, tr)
	cfg.Grant = grant.DeviceCode{Prompt: func(context.Context, grant.DevicePrompt) error { return nil }}
	cfg.Server = &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token?key=" + planted("endpoint-query"),
		DeviceAuthorizationEndpoint: "https://as.example.com/device?key=" + planted("endpoint-query")}
	cfg.HTTPClient = scripted(map[string]func(url.Values) string{
		"/device": func(url.Values) string {
			return `{"device_code":"` + planted("device") + `","user_code":"` + planted("user") + `","verification_uri":"https://as.example.com/` + planted("uri") + `","expires_in":900}`
		},
		"/token": func(url.Values) string {
			if polls.Add(1) < 4 {
				return `{"error":"authorization_pending","error_description":"` + planted("pending") + `"}`
			}
			return `{"access_token":"` + planted("access") + `","refresh_token":"` + planted("refresh") + `","token_type":"Bearer","expires_in":60}`
		},
	})
	k.use(o, k.manager(cfg))
	// The server repeats the device code.
	cfg.HTTPClient = scripted(map[string]func(url.Values) string{
		"/device": func(url.Values) string {
			return `{"device_code":"` + planted("device") + `","user_code":"u","verification_uri":"https://as.example.com/d","expires_in":900}`
		},
		"/token": func(form url.Values) string {
			return `{"error":"invalid_client","error_description":"` + form.Get("device_code") + ` is unknown"}`
		},
	})
	k.use(o, k.manager(cfg))
}

func lifeWithIDP(k *kit, o *outlet, tr authtrace.Tracer) {
	const typ = "urn:ietf:params:oauth:token-type:id-jag"
	cfg := k.secretive(o, tr)
	cfg.Server = &auth.Server{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"}
	cfg.Grant = &grant.IDJAG{
		IDPIssuer: "https://idp.example.com", IDPTokenEndpoint: "https://idp.example.com/idp?key=" + planted("endpoint-query"),
		IDPClient:    auth.Client{ID: "client", Secret: planted("idp-client")},
		SubjectToken: func(context.Context) (string, error) { return planted("subject-token"), nil },
	}
	cfg.HTTPClient = scripted(map[string]func(url.Values) string{
		"/idp": func(url.Values) string {
			return `{"access_token":"` + planted("id-jag") + `","issued_token_type":"` + typ + `","token_type":"N_A","expires_in":300}`
		},
		"/token": func(url.Values) string {
			return `{"access_token":"` + planted("access") + `","token_type":"Bearer","expires_in":60}`
		},
	})
	k.use(o, k.manager(cfg))
	cfg.Grant = &grant.IDJAG{
		IDPIssuer: "https://idp.example.com", IDPTokenEndpoint: "https://idp.example.com/idp", IDPClient: auth.Client{ID: "client"},
		SubjectToken: func(context.Context) (string, error) { return "", quoting("assertion") },
	}
	k.use(o, k.manager(cfg))
}

// lifeWithPanics has code of others panic under the caller, who goes on as a
// server does after a handler has panicked.
func lifeWithPanics(k *kit, o *outlet, tr authtrace.Tracer) {
	recovering := func(f func(ctx context.Context)) {
		k.call(func(ctx context.Context) {
			defer func() {
				if recover() == nil {
					k.t.Error("no panic")
				}
			}()
			f(ctx)
		})
	}
	store := newGrumpyStore()
	cfg := k.secretive(o, tr)
	cfg.Store = store
	m := k.manager(cfg)
	k.call(func(ctx context.Context) { _, err := m.Authorize(ctx); o.failed(err) })
	store.mood.Store(&mood{panics: planted("panic-store")})
	recovering(func(ctx context.Context) { o.failed(m.SetToken(ctx, &auth.Token{AccessToken: planted("access")})) })
	store.mood.Store(new(mood))

	cfg = k.secretive(o, tr)
	cfg.HTTPClient = k.at(authtestPath(k.srv.Endpoint(authtest.RevocationEndpoint)), func(*http.Request) (*http.Response, error) {
		panic(errors.New(planted("panic-network")))
	})
	m = k.manager(cfg)
	k.call(func(ctx context.Context) { _, err := m.Authorize(ctx); o.failed(err) })
	recovering(func(ctx context.Context) { o.failed(m.Revoke(ctx)) })
}

func authtestPath(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Path
}
