package mcpgo_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// eras are the protocol versions in which a client and a server differ in what
// they remember of each other.
var eras = map[string][]client.ClientOption{
	"2026-07-28": nil,
	"2025-11-25": {client.WithProtocolVersion(mcp.LATEST_LEGACY_PROTOCOL_VERSION)},
}

// startRestarting starts the test's server with the token in TOKEN and
// WithRestart.
func startRestarting(t *testing.T, m *auth.Manager, mode string, opts ...mcpgo.CommandOption) *mcpgo.Stdio {
	opts = append([]mcpgo.CommandOption{self(mode), mcpgo.WithTokenVariable("TOKEN"), mcpgo.WithRestart()}, opts...)
	return mcpgo.NewStdio(m, program(t), nil, opts...)
}

func TestRestartAfterRotation(t *testing.T) {
	for era, opts := range eras {
		t.Run(era, func(t *testing.T) {
			m := tokenManager(t, "first")
			c := connectStdio(t, startRestarting(t, m, "plain"), opts...)
			before := lookAt(t, c)
			if before.Token != "first" {
				t.Errorf("started with %q, want the first token", before.Token)
			}
			setToken(t, m, "second")
			after := lookAt(t, c)
			if after.Token != "second" || after.PID == before.PID {
				t.Errorf("after the rotation: token %q in process %d; before: process %d", after.Token, after.PID, before.PID)
			}
			if again := lookAt(t, c); again.PID != after.PID {
				t.Errorf("restarted again without a rotation: %d, %d", after.PID, again.PID)
			}
		})
	}
}

// 16 goroutines call, the token is rotated 20 times under them.
func TestRestartLosesAndDoublesNothing(t *testing.T) {
	calls, rotations := 10_000, 20
	if testing.Short() {
		calls, rotations = 1000, 3
	}
	const callers = 16
	counted := filepath.Join(t.TempDir(), "calls")
	m := tokenManager(t, "token-000")
	c := connectStdio(t, startRestarting(t, m, "plain", mcpgo.WithEnv("COUNT_FILE="+counted)))
	var rotation, started atomic.Int64 // the token in use, the calls so far
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				id := started.Add(1)
				if id > int64(calls) {
					return
				}
				want := fmt.Sprintf("token-%03d", rotation.Load())
				token, err := callText(t.Context(), c, "count", map[string]any{"id": fmt.Sprint(id)})
				if err != nil {
					t.Errorf("call %d: %v", id, err)
				}
				if token < want {
					t.Errorf("call %d went to a server with %s after %s was in use", id, token, want)
				}
			}
		})
	}
	for n := 1; n <= rotations; n++ {
		for started.Load() < int64(calls*n/(rotations+1)) {
			time.Sleep(100 * time.Microsecond) // the calls are real processes' work: no fake clock
		}
		setToken(t, m, fmt.Sprintf("token-%03d", n))
		rotation.Store(int64(n))
	}
	wg.Wait()
	times := map[string]int{}
	f, err := os.Open(counted)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		times[lines.Text()]++
	}
	for id := 1; id <= calls; id++ {
		if n := times[fmt.Sprint(id)]; n != 1 {
			t.Errorf("call %d was served %d times", id, n)
		}
	}
	if got := lookAt(t, c).Token; got != fmt.Sprintf("token-%03d", rotations) {
		t.Errorf("the server has %s at the end", got)
	}
}

// What the client set up in the handshake's wake is there after a restart.
func TestRestartKeepsLevelAndSubscriptions(t *testing.T) {
	m := tokenManager(t, "first")
	c := connectStdio(t, startRestarting(t, m, "plain"), eras["2025-11-25"]...)
	var level mcp.SetLevelRequest
	level.Params.Level = mcp.LoggingLevelWarning
	//lint:ignore SA1019 servers of the older era have it
	if err := c.SetLevel(t.Context(), level); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"test://r", "test://gone"} {
		var subscribe mcp.SubscribeRequest
		subscribe.Params.URI = uri
		//lint:ignore SA1019 servers of the older era have it
		if err := c.Subscribe(t.Context(), subscribe); err != nil {
			t.Fatal(err)
		}
	}
	var unsubscribe mcp.UnsubscribeRequest
	unsubscribe.Params.URI = "test://gone"
	//lint:ignore SA1019 servers of the older era have it
	if err := c.Unsubscribe(t.Context(), unsubscribe); err != nil {
		t.Fatal(err)
	}
	setToken(t, m, "second")
	after := lookAt(t, c)
	if after.Token != "second" || after.Level != string(mcp.LoggingLevelWarning) {
		t.Errorf("token %q, level %q after the restart", after.Token, after.Level)
	}
}

// A subscription that never ends neither holds up a restart nor ends with it.
func TestRestartKeepsListening(t *testing.T) {
	m := tokenManager(t, "first")
	c := connectStdio(t, startRestarting(t, m, "plain"))
	type notice struct{ method, by string }
	notices := make(chan notice, 100)
	c.OnNotification(func(n mcp.JSONRPCNotification) {
		by, _ := n.Params.AdditionalFields["by"].(string)
		notices <- notice{n.Method, by}
	})
	await := func(want notice) {
		t.Helper()
		for {
			select {
			case got := <-notices:
				if got == want {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("no %v", want)
			}
		}
	}
	failed := make(chan error, 1)
	stop, err := c.ListenAsync(t.Context(), mcp.SubscriptionFilter{ToolsListChanged: true}, func(err error) { failed <- err })
	if err != nil {
		t.Fatal(err)
	}
	await(notice{mcp.MethodNotificationSubscriptionsAcknowledged, ""})
	setToken(t, m, "second")
	await(notice{mcp.MethodNotificationSubscriptionsAcknowledged, ""}) // by the second process
	if _, err := callText(t.Context(), c, "announce", nil); err != nil {
		t.Fatal(err)
	}
	await(notice{mcp.MethodNotificationToolsListChanged, "second"})
	stop()
	select {
	case err := <-failed:
		t.Errorf("the subscription ended: %v", err)
	default:
	}
	if got := lookAt(t, c).Token; got != "second" {
		t.Errorf("the server has %q", got)
	}
}

// block calls the tool that answers when it is let go.
func block(t *testing.T, c *client.Client) (letGo func(), answer <-chan string) {
	t.Helper()
	dir := t.TempDir()
	started, until := filepath.Join(dir, "started"), filepath.Join(dir, "until")
	answers := make(chan string, 1)
	go func() {
		text, err := callText(context.WithoutCancel(t.Context()), c, "block", map[string]any{"started": started, "until": until})
		if err != nil {
			text = err.Error()
		}
		answers <- text
	}()
	for {
		if _, err := os.Stat(started); err == nil {
			break
		}
		time.Sleep(time.Millisecond) // another process: no fake clock
	}
	return func() {
		if err := os.WriteFile(until, nil, 0o600); err != nil {
			t.Error(err)
		}
	}, answers
}

// A request that is under way is finished by the process that has it, and the
// next one waits for that.
func TestRestartWaitsForRequests(t *testing.T) {
	m := tokenManager(t, "first")
	c := connectStdio(t, startRestarting(t, m, "plain"))
	letGo, answer := block(t, c)
	setToken(t, m, "second")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := callText(ctx, c, "look", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call beside the one under way: %v, want it to wait", err)
	}
	letGo()
	if got := <-answer; got != "first" {
		t.Errorf("the request under way was answered with %q, want the first process's answer", got)
	}
	if got := lookAt(t, c).Token; got != "second" {
		t.Errorf("the server has %q", got)
	}
}

// One that takes too long goes on beside the new process.
func TestRestartDoesNotWaitForever(t *testing.T) {
	m := tokenManager(t, "first")
	c := connectStdio(t, startRestarting(t, m, "plain", mcpgo.WithDrainTimeout(10*time.Millisecond)))
	letGo, answer := block(t, c)
	setToken(t, m, "second")
	if got := lookAt(t, c).Token; got != "second" {
		t.Errorf("the server has %q", got)
	}
	letGo()
	if got := <-answer; got != "first" {
		t.Errorf("the long request was answered with %q, want the first process's answer", got)
	}
}

type answerer func(context.Context) (string, error)

func (a answerer) CreateMessage(ctx context.Context, _ mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	text, err := a(ctx)
	if err != nil {
		return nil, err
	}
	return &mcp.CreateMessageResult{
		SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: mcp.NewTextContent(text)}, Model: "m",
	}, nil
}

// A call that the client makes to answer the server's question belongs to the
// process that asked: if it waited for the restart, and that for the question,
// neither would end.
func TestRestartAmidAQuestion(t *testing.T) {
	m := tokenManager(t, "first")
	var c *client.Client
	nested := answerer(func(ctx context.Context) (string, error) {
		setToken(t, m, "second") // now a restart is due
		other, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := callText(other, c, "count", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call from elsewhere: %v, want it to wait", err)
		}
		text, err := callText(ctx, c, "look", nil)
		if !strings.Contains(text, `"Token":"first"`) {
			t.Errorf("the nested call went to another process")
		}
		return "because", err
	})
	c = connectStdio(t, startRestarting(t, m, "plain"), append(eras["2025-11-25"], client.WithSamplingHandler(nested))...)
	text, err := callText(t.Context(), c, "ask", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "first") || !strings.Contains(text, "because") {
		t.Errorf("answered with %q", text)
	}
	if got := lookAt(t, c).Token; got != "second" {
		t.Errorf("the server has %q", got)
	}
}

// A token with which the server does not start leaves the old process where it
// is, and the next one is tried.
func TestRestartFails(t *testing.T) {
	for _, how := range []string{"fail", "silent"} {
		t.Run(how, func(t *testing.T) {
			m := tokenManager(t, "first")
			timeout := mcpgo.WithRestartTimeout(20 * time.Second)
			if how == "silent" {
				timeout = mcpgo.WithRestartTimeout(200 * time.Millisecond)
			}
			c := connectStdio(t, startRestarting(t, m, how+":second", timeout))
			before := lookAt(t, c)
			setToken(t, m, "second")
			for range 2 {
				_, err := callText(t.Context(), c, "look", nil)
				var failed *mcpgo.RestartError
				if !errors.As(err, &failed) {
					t.Fatalf("got %v, want a *RestartError", err)
				}
				if errors.Is(err, mcptransport.ErrTransportClosed) {
					t.Error("the error says that the transport is closed")
				}
				if deadline := errors.Is(err, context.DeadlineExceeded); deadline != (how == "silent") {
					t.Errorf("%v: deadline exceeded is %v", err, deadline)
				}
			}
			setToken(t, m, "first") // back to what the old process has
			if now := lookAt(t, c); now.PID != before.PID {
				t.Errorf("process %d, want the old one, %d", now.PID, before.PID)
			}
			if how == "fail" {
				setToken(t, m, "third")
				if got := lookAt(t, c).Token; got != "third" {
					t.Errorf("the server has %q", got)
				}
			}
		})
	}
}

// A server that died stays dead, as with mcp-go, until the next rotation.
func TestRestartAfterDeath(t *testing.T) {
	m := tokenManager(t, "first")
	c := connectStdio(t, startRestarting(t, m, "plain"))
	p, err := os.FindProcess(lookAt(t, c).PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	for !errors.Is(err, mcptransport.ErrTransportClosed) { // at first it may be that writing fails
		_, err = callText(t.Context(), c, "look", nil)
	}
	setToken(t, m, "second")
	if got := lookAt(t, c).Token; got != "second" {
		t.Errorf("the server has %q", got)
	}
}

// Close in the middle of a restart ends both processes, and those who wait.
func TestCloseWhileRestarting(t *testing.T) {
	m := tokenManager(t, "first")
	s := startRestarting(t, m, "silent:second")
	c := connectStdio(t, s)
	setToken(t, m, "second")
	failed := make(chan error, 1)
	go func() {
		_, err := callText(t.Context(), c, "look", nil)
		failed <- err
	}()
	// The second process says so when it is there.
	for lines := bufio.NewScanner(s.Stderr()); lines.Scan(); {
		if lines.Text() == "serving with second" {
			break
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-failed; !errors.Is(err, mcptransport.ErrTransportClosed) {
		t.Errorf("the call that waited: %v, want ErrTransportClosed", err)
	}
	if err := c.Start(t.Context()); !errors.Is(err, mcptransport.ErrTransportClosed) {
		t.Errorf("Start after Close: %v", err)
	}
}
