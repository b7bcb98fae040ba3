package authtest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

const (
	callRead  = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}`
	callWrite = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write"}}`
	listTools = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	getPrompt = `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"write"}}`
)

func TestRefusalConditions(t *testing.T) {
	requests := []struct{ method, path, body string }{
		{"GET", "", ""}, {"DELETE", "", ""}, {"POST", "", callRead}, {"POST", "", callWrite}, {"POST", "", listTools},
		{"POST", "", getPrompt}, {"POST", "/sub", callRead}, {"POST", "", "[" + listTools + "," + callWrite + "]"}, {"POST", "", "hello"},
	}
	for _, tt := range []struct {
		name    string
		refusal authtest.Refusal
		refused []int // of requests
	}{
		{"everything", authtest.Refusal{}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{"method", authtest.Refusal{Method: "GET"}, []int{0}},
		{"path", authtest.Refusal{Path: "/mcp/sub"}, []int{6}},
		{"JSON-RPC method", authtest.Refusal{RPC: "tools/list"}, []int{4, 7}},
		{"tool", authtest.Refusal{Tool: "write"}, []int{3, 7}},
		{"tool, said twice", authtest.Refusal{Tool: "write", RPC: "tools/call"}, []int{3, 7}},
		{"tool at a path", authtest.Refusal{Tool: "read", Path: "/mcp/sub"}, []int{6}},
		{"tool by GET", authtest.Refusal{Tool: "read", Method: "GET"}, nil},
		{"twice", authtest.Refusal{Times: 2}, []int{0, 1}},
		{"certainly", authtest.Refusal{Chance: 1}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{"stale session, none sent", authtest.Refusal{StaleSession: true}, nil},
		{"younger than nothing", authtest.Refusal{Younger: time.Nanosecond}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := newServer(t, authtest.Config{})
				echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
				res := srv.Protect(echo, authtest.Protection{})
				token := srv.IssueToken(nil, res.URL).AccessToken
				time.Sleep(time.Nanosecond)
				rule := res.Refuse(tt.refusal)
				var refused []int
				for i, q := range requests {
					switch r := must(t, srv, request(t, q.method, res.URL+q.path, q.body, "Authorization", "Bearer "+token)); {
					case r.status == http.StatusUnauthorized && strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`):
						refused = append(refused, i)
					case r.status != http.StatusOK || r.body != q.body:
						t.Errorf("request %d: %d %q, want the whole body back", i, r.status, r.body)
					}
				}
				if fmt.Sprint(refused) != fmt.Sprint(tt.refused) || rule.Refused() != len(refused) || res.Counts().Unauthorized != len(refused) {
					t.Errorf("refused %v, want %v; the rule says %d, the resource %+v", refused, tt.refused, rule.Refused(), res.Counts())
				}
				rule.End()
				if r := call(t, srv, res.URL, token, callWrite); r.status != http.StatusOK {
					t.Errorf("after the end of the rule: %d", r.status)
				}
				if r := call(t, srv, res.URL, "", callWrite); r.status != http.StatusUnauthorized || rule.Refused() != len(refused) {
					t.Errorf("without a token: %d, and the rule says %d", r.status, rule.Refused())
				}
			})
		})
	}
}

func TestRefusalAnswers(t *testing.T) {
	for _, tt := range []struct {
		refusal authtest.Refusal
		status  int
		error   string
	}{
		{authtest.Refusal{}, 401, `Bearer error="invalid_token", resource_metadata=`},
		{authtest.Refusal{NoError: true}, 401, `Bearer resource_metadata=`},
		{authtest.Refusal{Status: 403}, 403, `Bearer error="invalid_token", resource_metadata=`},
		{authtest.Refusal{Status: 400, Error: "invalid_request"}, 400, `Bearer error="invalid_request", resource_metadata=`},
	} {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{})
		res.Refuse(tt.refusal)
		r := call(t, srv, res.URL, srv.IssueToken(nil, res.URL).AccessToken, "{}")
		if got := r.header.Get("WWW-Authenticate"); r.status != tt.status || !strings.HasPrefix(got, tt.error) {
			t.Errorf("%+v: %d %q, want %d %q", tt.refusal, r.status, got, tt.status, tt.error)
		}
	}
}

func TestRefusalsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{})
		status := func(token string) int { return call(t, srv, res.URL, token, "{}").status }
		old := srv.IssueToken(nil, res.URL).AccessToken
		time.Sleep(3 * time.Second)

		young := res.Refuse(authtest.Refusal{Younger: 3 * time.Second})
		fresh := srv.IssueToken(nil, res.URL).AccessToken
		time.Sleep(3*time.Second - 1)
		if status(old) != 200 || status(fresh) != 401 {
			t.Error("an old token should pass, one that is not yet three seconds old should not")
		}
		time.Sleep(time.Nanosecond)
		if status(fresh) != 200 || young.Refused() != 1 {
			t.Error("at three seconds it should pass")
		}
		res.Refuse(authtest.Refusal{For: 5 * time.Minute})
		time.Sleep(5*time.Minute - 1)
		if status(old) != 401 {
			t.Error("the rule ended early")
		}
		time.Sleep(time.Nanosecond)
		if status(old) != 200 {
			t.Error("the rule did not end after its time")
		}
	})
}

func TestRefusalByChance(t *testing.T) {
	fates := func(chance float64, seed uint64) string {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{})
		res.Refuse(authtest.Refusal{Chance: chance, Seed: seed})
		token := srv.IssueToken(nil, res.URL).AccessToken
		var b strings.Builder
		for range 300 {
			b.WriteString(map[int]string{200: ".", 401: "x"}[call(t, srv, res.URL, token, "{}").status])
		}
		return b.String()
	}
	one := fates(0.3, 1)
	if again := fates(0.3, 1); again != one {
		t.Error("the same seed, another fate")
	}
	if other := fates(0.3, 2); other == one {
		t.Error("another seed, the same fate")
	}
	if n := strings.Count(one, "x"); len(one) != 300 || n < 60 || n > 120 {
		t.Errorf("%d of 300 refused, want about 90", n)
	}
}

// A session that the handler opened before the rule was set is stale, one that it opens afterwards is
// not, however the handler writes its answer.
func TestRefusalOfStaleSessions(t *testing.T) {
	for name, write := range map[string]func(w http.ResponseWriter){
		"implicit status": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") },
		"status":          func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
		"flush":           func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t, authtest.Config{})
			opened := 0
			res := srv.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Mcp-Session-Id") == "" {
					opened++
					w.Header().Set("Mcp-Session-Id", fmt.Sprint("session-", opened))
				}
				write(w)
			}), authtest.Protection{})
			token := srv.IssueToken(nil, res.URL).AccessToken
			in := func(session string) reply {
				req := request(t, "POST", res.URL, "{}", "Authorization", "Bearer "+token)
				if session != "" {
					req.Header.Set("Mcp-Session-Id", session)
				}
				return must(t, srv, req)
			}
			first := in("").header.Get("Mcp-Session-Id")
			rule := res.Refuse(authtest.Refusal{StaleSession: true})
			if r := in(first); r.status != http.StatusUnauthorized {
				t.Errorf("in the old session: %d", r.status)
			}
			second := in("").header.Get("Mcp-Session-Id")
			if r := in(second); second == first || r.status == http.StatusUnauthorized {
				t.Errorf("in a new session %q: %d", second, r.status)
			}
			if rule.Refused() != 1 {
				t.Errorf("%d refused, want 1", rule.Refused())
			}
		})
	}
}

func TestInvalidTokenStatus(t *testing.T) {
	for _, status := range []int{0, 400, 403} {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{InvalidTokenStatus: status})
		want := max(status, 401)
		if status == 400 {
			want = 400
		}
		if r := call(t, srv, res.URL, "guess", "{}"); r.status != want || !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%d: a wrong token: %d %q", status, r.status, r.header.Get("WWW-Authenticate"))
		}
		if r := call(t, srv, res.URL, "", "{}"); r.status != 401 {
			t.Errorf("%d: no token: %d, want 401", status, r.status)
		}
		if r := call(t, srv, res.URL, srv.IssueToken(nil, res.URL).AccessToken, "{}"); r.status != 200 {
			t.Errorf("%d: a good token: %d", status, r.status)
		}
	}
}

// stoppedTest is a test that Fatalf ends by a panic.
type stoppedTest struct{ *testing.T }

func (stoppedTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func TestMisusedRefusals(t *testing.T) {
	inTest := authtest.NewServerConfig(stoppedTest{t}, authtest.Config{InMemory: true})
	started, err := authtest.Start(authtest.Config{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer started.Close()
	for _, srv := range []*authtest.Server{inTest, started} {
		res := srv.Protect(ok, authtest.Protection{})
		for _, tt := range []struct {
			field   string
			refusal authtest.Refusal
		}{
			{"Refusal.Chance", authtest.Refusal{Chance: -0.1}},
			{"Refusal.Chance", authtest.Refusal{Chance: 30}},
			{"Younger", authtest.Refusal{Younger: -1}},
			{"For", authtest.Refusal{For: -1}},
			{"Times", authtest.Refusal{Times: -1}},
			{"NoError", authtest.Refusal{NoError: true, Error: "invalid_token"}},
			{"Refusal.Tool", authtest.Refusal{Tool: "x", RPC: "tools/list"}},
		} {
			func() {
				defer func() {
					if text := fmt.Sprint(recover()); !strings.HasPrefix(text, "authtest: Refusal.") || !strings.Contains(text, tt.field) {
						t.Errorf("%+v: %s, want it to name %s", tt.refusal, text, tt.field)
					}
				}()
				res.Refuse(tt.refusal)
			}()
		}
	}
}
