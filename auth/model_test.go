package auth_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mcptokens/mcptokens/auth"
)

// TestModel runs managers through random sequences of operations and faults and
// holds them, after every step, to the invariants of docs/architecture.md, by a
// model that is simpler than they are: the authorization server's own knowledge of
// its tokens, and what each manager was told.
//
// With MCPTOKENS_MODEL_WILD=1 saves that fail may have arrived all the same, and
// managers may refresh without the store. What is right then the model only
// knows in part: some of what it finds is its own mistake.
//
//	MCPTOKENS_MODEL_STEPS=1000000 go test -run '^TestModel$' -v -timeout 1h ./auth
//	go test -run '^TestModel$' ./auth -rapid.seed=N
func TestModel(t *testing.T) {
	const perRun = 40
	steps, wild := 2000, false
	if s := os.Getenv("MCPTOKENS_MODEL_STEPS"); s != "" {
		wild = os.Getenv("MCPTOKENS_MODEL_WILD") != ""
		var err error
		if steps, err = strconv.Atoi(s); err != nil {
			t.Fatalf("MCPTOKENS_MODEL_STEPS: %v", err)
		}
	}
	if f := flag.Lookup("rapid.seed"); f.Value.String() == "0" {
		seed := uint64(1) // the short form makes the same choices each time
		if steps > 2000 {
			seed = rand.Uint64() >> 1
		}
		set(t, "rapid.seed", strconv.FormatUint(seed, 10))
		defer set(t, "rapid.seed", "0")
	}
	set(t, "rapid.checks", strconv.Itoa(steps/perRun))
	t.Logf("-rapid.seed=%s, about %d steps", flag.Lookup("rapid.seed").Value, steps)
	total := 0
	rapid.Check(t, func(rt *rapid.T) {
		cfg := modelConfigs(wild).Draw(rt, "config")
		ops := rapid.SliceOfN(modelOps(wild), perRun/2, 3*perRun/2).Draw(rt, "operations")
		total += len(ops)
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = runModel(t, cfg, ops) })
		if len(wrong) > 0 {
			rt.Fatalf("%s", strings.Join(wrong, "\n\t"))
		}
	})
	t.Logf("%d steps", total)
}

func set(t *testing.T, name, value string) {
	t.Helper()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
}

// modelRun is one run.
type modelRun struct {
	t     *testing.T
	cfg   modelConfig
	srv   *modelServer
	store *modelStore
	m     [2]*auth.Manager
	wg    sync.WaitGroup

	mu       sync.Mutex
	old      [2][]*auth.Token   // handed out, oldest first
	accepted [2]map[string]bool // access tokens that the manager knows to have been accepted
	doubted  map[string]bool    // good ones that were refused before anything accepted them
	gone     [2]map[string]bool // access tokens that it had when they were revoked
	revoked  [2]int             // in which step
	step     int
	changing int  // calls of SetToken and Revoke, and restarts: so far
	under    int  // and under way
	flying   int  // calls that are not waited for
	doubtful bool // a save failed with two managers, or a process was lost: each may hold something else
}

const modelURL = "https://as.example.com"

func runModel(t *testing.T, cfg modelConfig, ops []modelOp) []string {
	r := &modelRun{t: t, cfg: cfg, srv: newModelServer(cfg)}
	r.store = &modelStore{run: r, saved: make(map[string]bool)}
	for i := range cfg.managers {
		r.start(i)
	}
	for i := range ops {
		r.mu.Lock()
		r.step++
		r.mu.Unlock()
		if ops[i].what != "nothing" {
			r.note("STEP %d: %s of %d %v", r.step, ops[i].what, ops[i].manager%cfg.managers, ops[i].scopes)
		}
		r.do(ops[i])
		synctest.Wait()
		r.settle()
		if len(r.wrong()) > 0 {
			break
		}
	}
	r.wg.Wait()
	if len(r.wrong()) == 0 {
		r.recover()
	}
	for i := range cfg.managers {
		_ = r.m[i].Close()
	}
	if len(r.wrong()) == 0 {
		return nil
	}
	return append(r.wrong(), r.srv.story...)
}

func (r *modelRun) wrong() []string {
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	return slices.Clone(r.srv.wrong)
}

func (r *modelRun) violation(format string, args ...any) {
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	r.srv.violation(format, args...)
}

func (r *modelRun) note(format string, args ...any) {
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	r.srv.note(format, args...)
}

// start makes manager i again.
func (r *modelRun) start(i int) {
	cfg := auth.Config{
		Resource: "https://mcp.example.com/mcp",
		Server:   &auth.Server{Issuer: modelURL, TokenEndpoint: modelURL + "/token", RevocationEndpoint: modelURL + "/revoke"},
		Client:   auth.Client{ID: "client"}, HTTPClient: &http.Client{Transport: r.srv.from(i)},
		Store: r.store, NoIdleRefresh: !r.cfg.idle, RefreshWithoutStore: r.cfg.withoutStore, Tracer: modelTracer{},
	}
	if r.cfg.grant != "" {
		cfg.Grant = modelGrant{r, i}
	}
	m, err := auth.NewManager(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.m[i] = m
	r.accepted[i], r.gone[i], r.old[i] = make(map[string]bool), make(map[string]bool), nil
	if r.doubted == nil {
		r.doubted = make(map[string]bool)
	}
}

func (r *modelRun) do(op modelOp) {
	i := op.manager % r.cfg.managers
	switch op.what {
	case "nothing":
	case "sleep":
		time.Sleep(op.sleep)
	case "faults":
		r.srv.mu.Lock()
		r.srv.faults = append(r.srv.faults, op.faults...)
		r.srv.mu.Unlock()
	case "store":
		r.store.fail(op.store, op.after)
	case "heal":
		r.heal()
	case "kill":
		if tok := r.newest(i); tok != nil {
			r.kill(tok)
		}
	case "restart":
		r.restart(i)
	case "set", "set refresh":
		r.setToken(i, op.what == "set")
	case "storm":
		r.launch(op, func(m *auth.Manager) {
			together(20, func(int) { r.token(i, m, op) })
		})
	default:
		r.launch(op, func(m *auth.Manager) { r.call(i, m, op) })
	}
}

// launch runs f, and waits for it unless op is not to be waited for.
func (r *modelRun) launch(op modelOp, f func(m *auth.Manager)) {
	m := r.m[op.manager%r.cfg.managers]
	if op.async {
		r.mu.Lock()
		r.flying++
		r.mu.Unlock()
		r.wg.Go(func() {
			f(m)
			r.mu.Lock()
			r.flying--
			r.mu.Unlock()
		})
		return
	}
	f(m)
}

func (r *modelRun) heal() {
	r.srv.mu.Lock()
	r.srv.faults = nil
	r.srv.mu.Unlock()
	r.store.fail([3]bool{}, false)
}

// call makes one call of manager m, which is or was number i.
func (r *modelRun) call(i int, m *auth.Manager, op modelOp) {
	ctx, cancel := context.WithTimeout(r.t.Context(), op.patient)
	defer cancel()
	switch op.what {
	case "token":
		r.token(i, m, op)
	case "request":
		if tok := r.token(i, m, op); tok != nil {
			r.send(ctx, i, m, tok, op)
		}
	case "reject", "reject old":
		rejected := r.newest(i)
		if op.what == "reject old" {
			rejected = r.oldest(i)
		}
		if rejected != nil {
			r.kill(rejected)
		}
		r.send(ctx, i, m, rejected, op)
	case "challenge":
		r.send(ctx, i, m, nil, op)
	case "flaky":
		r.flaky(ctx, i, m, op)
	case "needs":
		began := r.begin()
		tok, err := m.Resolve(ctx, r.newest(i), auth.Challenge{Status: 403, Scheme: "Bearer", Error: "insufficient_scope", Scopes: op.scopes})
		r.got(i, m, began, tok, err)
	case "upgrade":
		began := r.begin()
		tok, err := m.UpgradeScopes(ctx, op.scopes...)
		r.got(i, m, began, tok, err)
		for _, s := range op.scopes {
			if err == nil && !slices.Contains(tok.Scopes, s) {
				r.violation("UpgradeScopes(%q) granted %q and says nothing", op.scopes, tok.Scopes)
			}
		}
	case "refresh":
		r.explicit(i, 1)
		began := r.begin()
		tok, err := m.Refresh(ctx)
		r.got(i, m, began, tok, err)
		// What this call began may go on without it.
		for m.Info().Refreshing {
			time.Sleep(time.Second)
		}
		r.explicit(i, -1)
	case "authorize":
		// The program asks: what held operations back does not any more.
		r.explicit(i, 1)
		r.srv.forgive(i)
		began := r.begin()
		tok, err := m.Authorize(ctx)
		r.got(i, m, began, tok, err)
		for m.Info().Refreshing {
			time.Sleep(time.Second)
		}
		r.explicit(i, -1)
	case "revoke":
		r.change(func() {
			r.srv.mu.Lock()
			r.srv.held = ""
			r.srv.mu.Unlock()
			r.mu.Lock()
			had := slices.Clone(r.old[i])
			r.mu.Unlock()
			err := m.Revoke(ctx)
			var se *auth.StoreError
			if errors.As(err, &se) {
				r.doubt() // the store has it still, or an older one, which the error says
			} else if err == nil {
				r.mu.Lock()
				for _, tok := range had {
					r.gone[i][tok.AccessToken] = true
				}
				r.revoked[i] = r.step
				r.mu.Unlock()
			}
		})
	}
}

// kill revokes an access token that some client presents.
func (r *modelRun) kill(tok *auth.Token) {
	r.srv.kill(tok.AccessToken)
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	for i, v := range r.srv.valid {
		if v != nil && v.AccessToken == tok.AccessToken {
			r.srv.valid[i] = nil
		}
	}
}

// send does what a transport does with a request that begins with tok: it
// sends it again with what Resolve returns, and tells what the MCP server
// accepts.
func (r *modelRun) send(ctx context.Context, i int, m *auth.Manager, tok *auth.Token, op modelOp) {
	began, start := r.begin(), time.Now()
	given := []*auth.Token{tok}
	for range 11 { // a net, as that of transport.RoundTripper
		if tok != nil && r.srv.works(tok.AccessToken) {
			r.accept(i, m, tok)
			return
		}
		r.srv.rejected(i)
		next, err := m.Resolve(ctx, tok, r.challenge(op))
		r.got(i, m, began, next, err)
		if err != nil {
			return
		}
		r.mu.Lock()
		calm := r.under == 0 && began.under == 0 && r.changing == began.changing && !r.doubtful
		r.mu.Unlock()
		// Once it has another one the request does not go back.
		if n := len(given) - 1; calm && (tok == nil || next.AccessToken != tok.AccessToken) && slices.ContainsFunc(given[:n], func(t *auth.Token) bool { return t != nil && t.AccessToken == next.AccessToken }) {
			r.violation("manager %d goes back to %s for one request", i, next.AccessToken)
		}
		given = append(given, next)
		tok = next
	}
	// A token may die between two tries, and then there is one try more.
	if r.cfg.life == 0 || time.Since(start) < r.cfg.life/2 {
		r.violation("manager %d resends a request with one token after the other", i)
	}
}

func (r *modelRun) challenge(op modelOp) auth.Challenge {
	return auth.Challenge{Status: 401, Scheme: "Bearer", Error: "invalid_token", Operation: op.operation}
}

func (r *modelRun) accept(i int, m *auth.Manager, tok *auth.Token) {
	m.Accepted(tok)
	r.mu.Lock()
	defer r.mu.Unlock()
	if m == r.m[i] {
		r.accepted[i][tok.AccessToken] = true
	}
}

// flaky is a request that one replica of the MCP server refuses although the
// token is good, and the next one does not: that costs no request and no
// login, if the token is known to be good.
func (r *modelRun) flaky(ctx context.Context, i int, m *auth.Manager, op modelOp) {
	tok := r.token(i, m, op)
	if tok == nil || !r.srv.works(tok.AccessToken) {
		return
	}
	r.mu.Lock()
	known := r.accepted[i][tok.AccessToken] && m == r.m[i]
	if !known {
		r.doubted[tok.AccessToken] = true
	}
	r.mu.Unlock()
	calls := r.srv.calls(i)
	r.srv.rejected(i)
	began := r.begin()
	next, err := m.Resolve(ctx, tok, r.challenge(op))
	r.got(i, m, began, next, err)
	var refused *auth.RejectedError
	switch {
	case err == nil && r.srv.works(next.AccessToken):
		r.accept(i, m, next)
	case err != nil && known && r.cfg.managers == 1 && !op.async && !errors.As(err, &refused) && ctx.Err() == nil && r.quietly(began):
		r.violation("manager %d fails with %v after one 401 for the good token %s", i, err, tok.AccessToken)
	}
	if n := r.srv.calls(i) - calls; known && n > 0 && r.cfg.managers == 1 && !op.async && r.quietly(began) && !r.cfg.idle && err == nil && next.AccessToken != tok.AccessToken {
		r.violation("manager %d replaces the good token %s after one 401", i, tok.AccessToken)
	}
}

// quietly reports whether nothing else has gone on since a call began.
func (r *modelRun) quietly(began modelBegin) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.under == 0 && began.under == 0 && r.changing == began.changing && r.step == began.step && !r.doubtful && r.flying == 0
}

func (r *modelRun) explicit(i, by int) {
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	r.srv.explicit[i] += by
}

// token calls Token, which fails only if there is nothing valid to return.
func (r *modelRun) token(i int, m *auth.Manager, op modelOp) *auth.Token {
	ctx, cancel := context.WithTimeout(r.t.Context(), op.patient)
	defer cancel()
	began := r.begin()
	r.srv.mu.Lock()
	valid := r.srv.valid[i]
	r.srv.mu.Unlock()
	tok, err := m.Token(ctx)
	r.got(i, m, began, tok, err)
	r.mu.Lock()
	calm := r.under == 0 && r.changing == began.changing && began.under == 0
	// Nothing had accepted it, a server refused it, and its refresh token may be
	// refused as well: a revoked session looks the same, see TestRejectedAndRefused.
	var ended *auth.ReauthorizationRequiredError
	calm = calm && !((errors.Is(err, auth.ErrNoToken) || errors.As(err, &ended)) && valid != nil && r.doubted[valid.AccessToken])
	r.mu.Unlock()
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	if err != nil && !errors.Is(err, auth.ErrClosed) && calm && valid != nil && valid == r.srv.valid[i] && (valid.Expiry.IsZero() || time.Now().Before(valid.Expiry)) {
		r.srv.violation("Token of %d fails with %v though %s is valid", i, err, valid.AccessToken)
	}
	return tok
}

// change brackets what replaces the credential from outside.
func (r *modelRun) change(f func()) {
	r.mu.Lock()
	r.under++
	r.mu.Unlock()
	f()
	r.srv.mu.Lock()
	r.srv.valid = [2]*auth.Token{}
	r.srv.mu.Unlock()
	r.mu.Lock()
	r.under--
	r.changing++
	r.mu.Unlock()
}

// modelBegin is what was so when a call began.
type modelBegin struct {
	changing, under int
	step            int
}

func (r *modelRun) begin() modelBegin {
	r.mu.Lock()
	defer r.mu.Unlock()
	return modelBegin{changing: r.changing, under: r.under, step: r.step}
}

// got checks what a call returned.
func (r *modelRun) got(i int, m *auth.Manager, began modelBegin, tok *auth.Token, err error) {
	if tok != nil {
		r.note("call of step %d: %s", began.step, tok.AccessToken)
	} else {
		r.note("call of step %d: %v", began.step, err)
	}
	if (tok == nil) == (err == nil) {
		r.violation("token %v and error %v", tok, err)
		return
	}
	if err != nil {
		r.typed(err)
		return
	}
	if !tok.Expiry.IsZero() && !time.Now().Before(tok.Expiry) {
		r.violation("manager %d hands out %s, which expired %v ago", i, tok.AccessToken, time.Since(tok.Expiry))
	}
	if tok.Authorization() != "Bearer "+tok.AccessToken {
		r.violation("Authorization() = %q for %s", tok.Authorization(), tok.AccessToken)
	}
	r.mu.Lock()
	if m != r.m[i] { // of before a restart
		r.mu.Unlock()
		return
	}
	if r.gone[i][tok.AccessToken] && r.revoked[i] < began.step && !r.doubtful {
		defer r.violation("manager %d hands out %s, which was revoked", i, tok.AccessToken)
	}
	calm := r.under == 0 && began.under == 0 && r.changing == began.changing
	if !slices.ContainsFunc(r.old[i], func(o *auth.Token) bool { return o.AccessToken == tok.AccessToken }) {
		r.old[i] = append(r.old[i], tok)
	}
	r.mu.Unlock()
	r.srv.mu.Lock()
	if v := r.srv.valid[i]; v != nil && v.AccessToken != tok.AccessToken {
		r.srv.valid[i] = nil // another one is in use, a login's that was slower
	}
	if r.srv.held == "" && !r.srv.granted && calm && tok.AccessToken == "a"+strconv.Itoa(r.srv.number) && tok.AccessToken == r.srv.latest {
		r.srv.held = tok.RefreshToken
	}
	r.srv.mu.Unlock()
	r.srv.mu.Lock()
	newest := tok.AccessToken == "a"+strconv.Itoa(r.srv.number) // the next one may have been saved since
	r.srv.mu.Unlock()
	if newest && !r.store.wasSaved(tok.AccessToken) && !m.Info().Unsaved {
		r.violation("manager %d hands out %s, which was never saved and is not called unsaved", i, tok.AccessToken)
	}
}

// typed checks that an error is one of those that are promised.
func (r *modelRun) typed(err error) {
	var (
		te *auth.TokenError
		re *auth.ReauthorizationRequiredError
		ie *auth.InsufficientScopeError
		je *auth.RejectedError
		se *auth.StoreError
		ce *auth.ConfigError
		ae *auth.AuthorizationError
	)
	for _, is := range []error{auth.ErrNoToken, auth.ErrNoRefreshToken, auth.ErrClosed, context.DeadlineExceeded} {
		if errors.Is(err, is) {
			return
		}
	}
	if !errors.As(err, &te) && !errors.As(err, &re) && !errors.As(err, &ie) && !errors.As(err, &je) && !errors.As(err, &se) && !errors.As(err, &ce) && !errors.As(err, &ae) {
		r.violation("error of type %T: %v", err, err)
	}
}

func (r *modelRun) newest(i int) *auth.Token {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.old[i]) == 0 {
		return nil
	}
	return r.old[i][len(r.old[i])-1]
}

func (r *modelRun) oldest(i int) *auth.Token {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.old[i]) == 0 {
		return nil
	}
	return r.old[i][0]
}

func (r *modelRun) setToken(i int, whole bool) {
	tok := r.srv.newToken("a")
	if !whole {
		tok = &auth.Token{RefreshToken: tok.RefreshToken}
	}
	r.change(func() {
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
		defer cancel()
		err := r.m[i].SetToken(ctx, tok)
		r.srv.mu.Lock()
		defer r.srv.mu.Unlock()
		var se *auth.StoreError
		if err == nil || (errors.As(err, &se) && se.Op == "save") { // it is in use
			r.srv.held = tok.RefreshToken
		}
	})
}

// restart ends the process of manager i and begins another.
func (r *modelRun) restart(i int) {
	r.change(func() {
		m := r.m[i]
		if err := m.Close(); err != nil || r.store.is(0) || r.store.is(1) || r.store.is(2) {
			r.doubt() // what it knew it may have taken with it
		}
		if _, err := m.Token(r.t.Context()); !errors.Is(err, auth.ErrClosed) {
			r.violation("Token of a closed manager: %v", err)
		}
		r.srv.mu.Lock()
		for _, t := range r.srv.refresh {
			t.refusedTo[i], t.after[i], t.lost[i] = false, time.Time{}, nil // what the process knew
		}
		r.srv.quiet[i] = time.Time{}
		r.srv.mu.Unlock()
		r.mu.Lock()
		r.start(i)
		r.mu.Unlock()
	})
}

// doubt: what managers hold and what is stored may be different things from
// now on.
func (r *modelRun) doubt() {
	r.srv.excuse()
	r.mu.Lock()
	r.doubtful = true
	r.mu.Unlock()
}

// settle notes until when each manager has to leave the server alone.
func (r *modelRun) settle() {
	under := false
	for i := range r.cfg.managers {
		info := r.m[i].Info()
		under = under || info.Authorizing || info.Refreshing
		r.srv.mu.Lock()
		r.srv.quiet[i], r.srv.quietFor[i] = info.RetryAt, r.srv.last[i]
		var te *auth.TokenError
		if !errors.As(info.LastError, &te) || te.GrantType != "refresh_token" || r.cfg.managers > 1 || info.Refreshing || !te.NextAttempt.After(time.Now()) {
			r.srv.quiet[i] = time.Time{} // it is the store, or the grant, that is left alone, or another manager knows better
		} else if !info.Expiry.IsZero() && info.Expiry.Before(info.RetryAt) && time.Now().Before(info.Expiry) {
			r.srv.quiet[i] = info.Expiry // then it is needed, and due earlier
		}
		r.srv.mu.Unlock()
		if info.Resource == "" || (info.State == auth.StateFresh && !info.Expiry.IsZero() && !time.Now().Before(info.Expiry)) {
			r.violation("%+v", info)
		}
	}
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	r.srv.granted = r.srv.granted && under
}

// recover: when all is well again and some time has passed, everybody gets a
// token, and without a person if a refresh token that works was not lost.
func (r *modelRun) recover() {
	r.heal()
	time.Sleep(31 * time.Minute)
	for i := range r.cfg.managers {
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
		r.srv.mu.Lock()
		held := r.srv.held
		refused := held != "" && r.srv.refresh[held].refusedTo[i]
		r.srv.mu.Unlock()
		r.mu.Lock()
		doubtful := r.doubtful
		r.mu.Unlock()
		refreshable := held != "" && r.srv.refreshable(held) && !refused && !doubtful
		request := func(tok *auth.Token, err error) (*auth.Token, error) {
			for range 8 {
				if err == nil && !r.srv.works(tok.AccessToken) {
					tok, err = r.m[i].Resolve(ctx, tok, auth.Challenge{Status: 401})
				}
			}
			return tok, err
		}
		tok, err := request(r.m[i].Token(ctx))
		if err != nil && r.cfg.grant != "" {
			tok, err = request(r.m[i].Authorize(ctx))
		}
		switch {
		case err == nil && !r.srv.works(tok.AccessToken):
			r.violation("in the end manager %d has %s, which does not work", i, tok.AccessToken)
		case err != nil && (r.cfg.grant != "" || refreshable):
			r.violation("in the end manager %d has %v, though %s could be refreshed (grant %q)", i, err, held, r.cfg.grant)
		case err != nil:
			r.typed(err)
		}
		cancel()
	}
}
