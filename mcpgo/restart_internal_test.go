package mcpgo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
)

// source hands out what the test set. It tells nobody of changes.
type source struct {
	mu    sync.Mutex
	token *auth.Token
	err   error
}

func (s *source) Token(context.Context) (*auth.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	return s.token, nil
}

func (s *source) Resolve(ctx context.Context, _ *auth.Token, _ auth.Challenge) (*auth.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == nil {
		return nil, errors.New("no more tokens")
	}
	s.err = nil
	return s.token, nil
}

func (s *source) set(accessToken string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.err = &auth.Token{AccessToken: accessToken}, err
}

// process is a server in memory, in place of mcp-go's transport to a real one.
type process struct {
	token    string
	starting func()
	respond  func(p *process, ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error)
	handler  mcptransport.RequestHandler
	notify   func(mcp.JSONRPCNotification)
	mu       sync.Mutex
	received []string // methods, with the ID's text for requests
	done     chan struct{}
	close    sync.Once
}

func (p *process) Start(context.Context) error {
	if p.starting != nil {
		p.starting()
	}
	return nil
}

func (p *process) GetSessionId() string { return "" }

func (p *process) SetNotificationHandler(h func(mcp.JSONRPCNotification)) { p.notify = h }

func (p *process) SetRequestHandler(h mcptransport.RequestHandler) { p.handler = h }

func (p *process) Close() error {
	p.close.Do(func() { close(p.done) })
	return nil
}

func (p *process) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received = append(p.received, line)
}

func (p *process) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.received)
}

func (p *process) closed() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) SendRequest(ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	params, _ := json.Marshal(request.Params)
	p.note(fmt.Sprintf("%v %s %s", request.ID.Value(), request.Method, params))
	type answer struct {
		response *mcptransport.JSONRPCResponse
		err      error
	}
	answers := make(chan answer, 1)
	go func() {
		response, err := p.respond(p, ctx, request)
		answers <- answer{response, err}
	}()
	select {
	case a := <-answers:
		return a.response, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.done:
		return nil, mcptransport.ErrTransportClosed
	}
}

func (p *process) SendNotification(_ context.Context, notification mcp.JSONRPCNotification) error {
	p.note(notification.Method)
	return nil
}

// answer answers everything at once, and "slow" after a minute.
func answer(p *process, ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
	result := `{}`
	switch request.Method {
	case "initialize":
		result = `{"protocolVersion":"2025-11-25"}`
	case "slow":
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case "subscriptions/listen":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return mcptransport.NewJSONRPCResultResponse(request.ID, json.RawMessage(result)), nil
}

// fleet is the processes that a transport started.
type fleet struct {
	mu        sync.Mutex
	processes []*process
	starting  func()
	respond   func(p *process, ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error)
}

func (f *fleet) connect(name string, args []string, _ *commandOptions, command mcptransport.CommandFunc) mcptransport.BidirectionalInterface {
	var cmd *exec.Cmd
	cmd, err := command(context.Background(), name, nil, args)
	if err != nil {
		panic(err)
	}
	i := slices.IndexFunc(cmd.Env, func(entry string) bool { return strings.HasPrefix(entry, "TOKEN=") })
	p := &process{token: cmd.Env[i][len("TOKEN="):], starting: f.starting, respond: f.respond, done: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes = append(f.processes, p)
	return p
}

func (f *fleet) process(i int) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[i]
}

func (f *fleet) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.processes)
}

// startFleet starts a transport over processes in memory, with the token "one".
func startFleet(t *testing.T, f *fleet, opts ...CommandOption) (*Stdio, *source) {
	t.Helper()
	if f.respond == nil {
		f.respond = answer
	}
	src := &source{}
	src.set("one", nil)
	s := NewStdio(src, "./server", nil, append([]CommandOption{WithTokenVariable("TOKEN"), WithRestart()}, opts...)...)
	s.connect = f.connect
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		select {
		case <-s.stopped:
		default:
			t.Error("Close did not wait")
		}
		for _, p := range f.processes {
			if !p.closed() {
				t.Errorf("the process with token %q was not closed", p.token)
			}
		}
	})
	return s, src
}

func send(s *Stdio, id int64, method string, params any) error {
	return sendContext(context.Background(), s, id, method, params)
}

func sendContext(ctx context.Context, s *Stdio, id int64, method string, params any) error {
	_, err := s.SendRequest(ctx, mcptransport.JSONRPCRequest{JSONRPC: "2.0", ID: mcp.NewRequestId(id), Method: method, Params: params})
	return err
}

func sendNotification(s *Stdio, method string) error {
	return s.SendNotification(context.Background(), mcp.JSONRPCNotification{JSONRPC: "2.0", Notification: mcp.Notification{Method: method}})
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func expectLog(t *testing.T, p *process, want ...string) {
	t.Helper()
	if got := p.log(); !slices.Equal(got, want) {
		t.Errorf("the process with token %q received\n\t%s\nwant\n\t%s", p.token, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestReplayLegacy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleet
		s, src := startFleet(t, &f)
		must(t,
			send(s, 1, "initialize", map[string]any{"protocolVersion": "2025-11-25", "clientInfo": map[string]any{"name": "c"}}),
			sendNotification(s, "notifications/initialized"),
			send(s, 2, "logging/setLevel", map[string]any{"level": "debug"}),
			send(s, 3, "logging/setLevel", map[string]any{"level": "error"}),
			send(s, 4, "resources/subscribe", map[string]any{"uri": "b"}),
			send(s, 5, "resources/subscribe", map[string]any{"uri": "a"}),
			send(s, 6, "resources/subscribe", map[string]any{"uri": "c"}),
			send(s, 7, "resources/unsubscribe", map[string]any{"uri": "c"}),
		)
		src.set("two", nil)
		must(t, send(s, 8, "tools/list", nil))
		expectLog(t, f.process(1),
			`mcptokens-restart-1 initialize {"clientInfo":{"name":"c"},"protocolVersion":"2025-11-25"}`,
			`notifications/initialized`,
			`mcptokens-restart-2 logging/setLevel {"level":"error"}`,
			`mcptokens-restart-3 resources/subscribe {"uri":"a"}`,
			`mcptokens-restart-4 resources/subscribe {"uri":"b"}`,
			`8 tools/list null`,
		)
		synctest.Wait()
		if !f.process(0).closed() {
			t.Error("the old process was not ended")
		}
	})
}

func TestReplayModern(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleet
		s, src := startFleet(t, &f)
		must(t, send(s, 1, "server/discover", map[string]any{"_meta": "m"}), send(s, 2, "tools/list", nil))
		src.set("two", nil)
		must(t, send(s, 3, "tools/list", nil))
		expectLog(t, f.process(1), `mcptokens-restart-1 server/discover {"_meta":"m"}`, `3 tools/list null`)
	})
}

// A rotation before the handshake leaves the handshake to the client; one in its
// midst waits for it.
func TestReplayAroundTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleet{respond: func(p *process, ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
			if request.Method == "initialize" && p.token == "two" {
				time.Sleep(15 * time.Second) // longer than requests are waited for
			}
			return answer(p, ctx, request)
		}}
		s, src := startFleet(t, &f, WithRestartTimeout(time.Minute))
		src.set("two", nil)
		var opening sync.WaitGroup
		opening.Go(func() { must(t, send(s, 1, "initialize", nil)) })
		synctest.Wait()
		expectLog(t, f.process(0))
		src.set("three", nil)
		err := sendContext(t.Context(), s, 2, "ping", nil)
		var failed *RestartError
		if !errors.As(err, &failed) {
			t.Errorf("got %v, want a *RestartError while the handshake goes on", err)
		}
		opening.Wait()
		must(t, sendNotification(s, "notifications/initialized")) // restarts, and comes once
		must(t, send(s, 3, "ping", nil))
		expectLog(t, f.process(f.size()-1), `mcptokens-restart-1 initialize null`, `notifications/initialized`, `3 ping null`)
	})
}

// How long is waited for what: exactly as long as the options say.
func TestRestartTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleet
		s, src := startFleet(t, &f)
		must(t, send(s, 1, "server/discover", nil))
		var slow sync.WaitGroup
		slow.Go(func() { must(t, send(s, 2, "slow", nil)) })
		synctest.Wait()
		src.set("two", nil)
		start := time.Now()
		must(t, send(s, 3, "ping", nil))
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("waited %v for the request under way, want the default, 10s", waited)
		}
		synctest.Wait()
		if f.process(0).closed() {
			t.Error("the old process was ended before it had answered")
		}
		slow.Wait()
		synctest.Wait()
		if !f.process(0).closed() {
			t.Error("the old process was not ended after its last answer")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := fleet{respond: func(p *process, ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
			if p.token == "two" {
				<-ctx.Done()
			}
			return answer(p, ctx, request)
		}}
		s, src := startFleet(t, &f)
		must(t, send(s, 1, "server/discover", nil))
		src.set("two", nil)
		for range 2 {
			start := time.Now()
			err := send(s, 3, "ping", nil)
			var failed *RestartError
			if !errors.As(err, &failed) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want a *RestartError for the deadline", err)
			}
			if waited := time.Since(start); waited != 30*time.Second {
				t.Errorf("waited %v for a process that does not answer, want the default, 30s", waited)
			}
			synctest.Wait() // the restart ends at the same instant
		}
		synctest.Wait()
		if f.size() != 3 || !f.process(1).closed() || !f.process(2).closed() || f.process(0).closed() {
			t.Error("want the first process alive and the two that did not answer ended")
		}
		src.set("three", nil)
		must(t, send(s, 4, "ping", nil))
	})
}

// A restart with a token that was replaced meanwhile fails those who have that
// one, not those who come with the next.
func TestRestartFailsForOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleet{respond: func(p *process, ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
			if p.token == "two" {
				return nil, mcptransport.ErrTransportClosed
			}
			return answer(p, ctx, request)
		}}
		s, src := startFleet(t, &f)
		must(t, send(s, 1, "server/discover", nil))
		var slow sync.WaitGroup
		slow.Go(func() { must(t, send(s, 2, "slow", nil)) }) // holds the restart up
		synctest.Wait()
		src.set("two", nil)
		failed := make(chan error, 1)
		go func() { failed <- send(s, 3, "ping", nil) }()
		synctest.Wait()
		src.set("three", nil)
		must(t, send(s, 4, "ping", nil))
		var restart *RestartError
		if err := <-failed; !errors.As(err, &restart) {
			t.Errorf("got %v, want a *RestartError for the second token", err)
		}
		slow.Wait()
	})
}

// A request of the server's is as good as one to it: the process is not ended
// while it waits for the answer.
func TestRestartWaitsForTheClientsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleet
		s, src := startFleet(t, &f)
		s.SetRequestHandler(func(_ context.Context, r mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
			time.Sleep(5 * time.Second)
			return mcptransport.NewJSONRPCResultResponse(r.ID, json.RawMessage(`{}`)), nil
		})
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := f.process(0).handler(t.Context(), mcptransport.JSONRPCRequest{ID: mcp.NewRequestId(int64(1))}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		src.set("two", nil)
		start := time.Now()
		must(t, send(s, 1, "ping", nil))
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("waited %v, want the 5s that the client took", waited)
		}
		asking.Wait()
	})
}

// Close while the process is being started: nothing is left of it.
func TestCloseWhileStarting(t *testing.T) {
	src := &source{}
	src.set("one", nil)
	s := NewStdio(src, "./server", nil, WithTokenVariable("TOKEN"), WithRestart())
	f := fleet{respond: answer, starting: func() { must(t, s.Close()) }}
	s.connect = f.connect
	if err := s.Start(t.Context()); !errors.Is(err, mcptransport.ErrTransportClosed) {
		t.Errorf("got %v, want ErrTransportClosed", err)
	}
	if !f.process(0).closed() {
		t.Error("the process was not ended")
	}
}

// Who waits for a restart leaves by its own context, and does not abort it.
func TestRestartOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleet{respond: func(p *process, ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
			time.Sleep(time.Second)
			return answer(p, ctx, request)
		}}
		s, src := startFleet(t, &f)
		must(t, send(s, 1, "server/discover", nil))
		src.set("two", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := sendContext(ctx, s, 2, "ping", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		var waiters sync.WaitGroup
		for i := range 20 {
			waiters.Go(func() { must(t, send(s, int64(3+i), "ping", nil)) })
		}
		waiters.Wait()
		if f.size() != 2 {
			t.Errorf("%d processes were started, want 2", f.size())
		}
	})
}

func TestReplayRefused(t *testing.T) {
	for name, respond := range map[string]func(mcptransport.JSONRPCRequest) *mcptransport.JSONRPCResponse{
		"error": func(r mcptransport.JSONRPCRequest) *mcptransport.JSONRPCResponse {
			return mcptransport.NewJSONRPCErrorResponse(r.ID, -32000, "canary-secret", nil)
		},
		"other version": func(r mcptransport.JSONRPCRequest) *mcptransport.JSONRPCResponse {
			return mcptransport.NewJSONRPCResultResponse(r.ID, json.RawMessage(`{"protocolVersion":"2024-11-05"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := fleet{respond: func(p *process, ctx context.Context, request mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
				if p.token == "two" {
					return respond(request), nil
				}
				return answer(p, ctx, request)
			}}
			s, src := startFleet(t, &f)
			must(t, send(s, 1, "initialize", nil))
			src.set("two", nil)
			err := send(s, 2, "ping", nil)
			var failed *RestartError
			if !errors.As(err, &failed) || !errors.Is(err, errHandshake) {
				t.Fatalf("got %v, want a *RestartError for the handshake", err)
			}
			if text := failed.Error(); strings.Contains(text, "canary") {
				t.Errorf("the error quotes the server: %s", text)
			}
		})
	}
}

// A source that fails is no reason to trouble the server.
func TestSourceFails(t *testing.T) {
	var f fleet
	s, src := startFleet(t, &f)
	down := errors.New("down")
	src.set("one", down)
	if err := send(s, 1, "ping", nil); !errors.Is(err, down) {
		t.Errorf("got %v, want the source's error", err)
	}
	src.set("one", auth.ErrNoToken)
	must(t, send(s, 2, "ping", nil))
	expectLog(t, f.process(0), "2 ping null")
}

// Only the process that has the request knows the ID, and that may be an old one.
func TestCancelledReachesTheOldProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleet
		s, src := startFleet(t, &f, WithDrainTimeout(0))
		var slow sync.WaitGroup
		slow.Go(func() { must(t, send(s, 1, "slow", nil)) })
		synctest.Wait()
		src.set("two", nil)
		must(t, send(s, 2, "ping", nil), sendNotification(s, "notifications/cancelled"), sendNotification(s, "notifications/roots/list_changed"))
		expectLog(t, f.process(0), "1 slow null", "notifications/cancelled")
		expectLog(t, f.process(1), "2 ping null", "notifications/cancelled", "notifications/roots/list_changed")
		slow.Wait()
	})
}

// A subscription moves with its ID, and ends by its context or by Close.
func TestListenMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleet
		s, src := startFleet(t, &f)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- sendContext(ctx, s, 1, "subscriptions/listen", nil) }()
		synctest.Wait()
		src.set("two", nil)
		start := time.Now()
		must(t, send(s, 2, "ping", nil))
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the restart waited %v", waited)
		}
		synctest.Wait()
		if log := f.process(1).log(); !slices.Contains(log, "1 subscriptions/listen null") {
			t.Errorf("the new process received %v", log)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		go func() { ended <- send(s, 3, "subscriptions/listen", nil) }()
		synctest.Wait()
		must(t, s.Close())
		if err := <-ended; !errors.Is(err, mcptransport.ErrTransportClosed) {
			t.Errorf("ended with %v", err)
		}
	})
}

// What the server asks and tells reaches the client's handlers, whichever
// process it comes from.
func TestServerToClient(t *testing.T) {
	var f fleet
	s, src := startFleet(t, &f)
	request := mcptransport.JSONRPCRequest{ID: mcp.NewRequestId(int64(1)), Method: "roots/list"}
	response, err := f.process(0).handler(t.Context(), request)
	if err != nil || response.Error == nil || response.Error.Code != mcp.METHOD_NOT_FOUND {
		t.Errorf("without a handler: %v, %v", response, err)
	}
	f.process(0).notify(mcp.JSONRPCNotification{}) // nobody listens
	var told []string
	s.SetNotificationHandler(func(n mcp.JSONRPCNotification) { told = append(told, n.Method) })
	s.SetRequestHandler(func(_ context.Context, r mcptransport.JSONRPCRequest) (*mcptransport.JSONRPCResponse, error) {
		told = append(told, r.Method)
		return mcptransport.NewJSONRPCResultResponse(r.ID, json.RawMessage(`{}`)), nil
	})
	src.set("two", nil)
	must(t, send(s, 1, "ping", nil))
	for _, p := range f.processes {
		if _, err := p.handler(t.Context(), request); err != nil {
			t.Error(err)
		}
		p.notify(mcp.JSONRPCNotification{Notification: mcp.Notification{Method: "notifications/message"}})
	}
	if want := []string{"roots/list", "notifications/message", "roots/list", "notifications/message"}; !slices.Equal(told, want) {
		t.Errorf("the client was told %v, want %v", told, want)
	}
	if s.GetSessionId() != "" {
		t.Error("stdio has a session ID")
	}
}

// The context of Start is the server's life, and what waits does not outlive it.
func TestStartContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleet{respond: answer}
		src := &source{}
		src.set("one", nil)
		s := NewStdio(src, "./server", nil, WithTokenVariable("TOKEN"), WithRestart())
		s.connect = f.connect
		ctx, cancel := context.WithCancel(t.Context())
		must(t, s.Start(ctx), s.Start(ctx))
		cancel()
		src.set("two", nil)
		if err := send(s, 1, "ping", nil); !errors.Is(err, mcptransport.ErrTransportClosed) {
			t.Errorf("got %v, want ErrTransportClosed", err)
		}
		must(t, s.Close(), s.Close())
	})
}
