package mcpgo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// serverMode in the environment makes the test program a stdio server; the value
// says how it behaves.
const serverMode = "MCPGO_TEST_SERVER"

// self is what a child has to be told to be the server.
func self(mode string) mcpgo.CommandOption { return mcpgo.WithEnv(serverMode + "=" + mode) }

// seen is what the server says of itself.
type seen struct {
	PID       int
	Token     string // in its environment
	FileToken string // in the file
	FilePath  string
	Env       []string
	Args      []string
	Level     string
}

func look() seen {
	s := seen{PID: os.Getpid(), Token: os.Getenv("TOKEN"), Env: os.Environ(), Args: os.Args, FilePath: os.Getenv("TOKEN_FILE")}
	if s.FilePath != "" {
		data, err := os.ReadFile(s.FilePath)
		if err != nil {
			data = []byte(err.Error())
		}
		s.FileToken = string(data)
	}
	return s
}

// serve runs an mcp-go stdio server and returns the exit status. Its mode is a
// list of words.
func serve(mode string) int {
	has := func(word string) bool { return slices.Contains(strings.Fields(mode), word) }
	token := os.Getenv("TOKEN")
	fmt.Fprintf(os.Stderr, "serving with %s\n", token)
	if has("fail:" + token) {
		return 3
	}
	if has("silent:" + token) {
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is closed
		return 0
	}
	if has("grandchild") {
		sleeper := exec.Command("sleep", "60") // has standard error open
		sleeper.Stderr = os.Stderr
		if err := sleeper.Start(); err != nil {
			return 1
		}
		fmt.Fprintln(os.Stderr, sleeper.Process.Pid)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s := server.NewMCPServer("test", "1",
		server.WithToolCapabilities(true), server.WithLogging(), server.WithResourceCapabilities(true, true))
	s.EnableSampling()
	add := func(name string, do func(ctx context.Context, request mcp.CallToolRequest) (string, error)) {
		s.AddTool(mcp.NewTool(name), func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			text, err := do(ctx, request)
			if err != nil {
				return mcp.NewToolResultError(err.Error()), nil
			}
			return mcp.NewToolResultText(text), nil
		})
	}
	add("look", func(ctx context.Context, _ mcp.CallToolRequest) (string, error) {
		now := look()
		if session, ok := server.ClientSessionFromContext(ctx).(server.SessionWithLogging); ok {
			now.Level = string(session.GetLogLevel())
		}
		text, err := json.Marshal(now)
		return string(text), err
	})
	// count appends the call's ID to a file, so that no restart forgets it.
	add("count", func(_ context.Context, request mcp.CallToolRequest) (string, error) {
		f, err := os.OpenFile(os.Getenv("COUNT_FILE"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return "", err
		}
		defer f.Close()
		_, err = fmt.Fprintln(f, request.GetString("id", ""))
		return token, err
	})
	// block answers when a file appears.
	add("block", func(ctx context.Context, request mcp.CallToolRequest) (string, error) {
		started, until := request.GetString("started", ""), request.GetString("until", "")
		if err := os.WriteFile(started, nil, 0o600); err != nil {
			return "", err
		}
		for {
			if _, err := os.Stat(until); err == nil {
				return token, nil
			}
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	})
	// ask has the client answer a question first.
	add("ask", func(ctx context.Context, _ mcp.CallToolRequest) (string, error) {
		//lint:ignore SA1019 a request of the server's, whatever it is about
		answer, err := s.RequestSampling(ctx, mcp.CreateMessageRequest{CreateMessageParams: mcp.CreateMessageParams{MaxTokens: 1}})
		if err != nil {
			return "", err
		}
		return token + " " + fmt.Sprint(answer.Content), nil
	})
	// guarded wants a better token than the first.
	s.AddTool(mcp.NewTool("guarded"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		now := look()
		if now.FilePath != "" {
			now.Token = now.FileToken
		}
		if now.Token != "level-1" {
			return mcp.NewToolResultText(now.Token), nil
		}
		result := mcp.NewToolResultError("not with this token")
		result.Meta = mcp.NewMetaFromMap(map[string]any{"mcp/www_authenticate": `Bearer error="insufficient_scope", scope="more"`})
		return result, nil
	})
	// announce tells of a changed resource and a changed tool list.
	add("announce", func(context.Context, mcp.CallToolRequest) (string, error) {
		s.SendNotificationToAllClients(string(mcp.MethodNotificationResourceUpdated), map[string]any{"uri": "test://r", "by": token})
		s.SendNotificationToAllClients(string(mcp.MethodNotificationToolsListChanged), map[string]any{"by": token})
		return token, nil
	})
	s.AddResource(mcp.NewResource("test://r", "r"), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: "test://r", Text: token}}, nil
	})
	if err := server.NewStdioServer(s).Listen(ctx, os.Stdin, os.Stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// program is the test program, which is the server as well.
func program(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tokenManager is a manager that is given its tokens by the test.
func tokenManager(t testing.TB, accessToken string) *auth.Manager {
	t.Helper()
	m, err := auth.NewManager(auth.Config{Resource: "https://api.example.com/", HTTPClient: &http.Client{Transport: offline{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if accessToken != "" {
		setToken(t, m, accessToken)
	}
	return m
}

// offline is a network that is not there.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) { return nil, net.ErrClosed }

func setToken(t testing.TB, m *auth.Manager, accessToken string) {
	t.Helper()
	if err := m.SetToken(t.Context(), &auth.Token{AccessToken: accessToken}); err != nil {
		t.Fatal(err)
	}
}

// connectStdio starts the server and makes the handshake.
func connectStdio(t testing.TB, transport *mcpgo.Stdio, opts ...client.ClientOption) *client.Client {
	t.Helper()
	c := client.NewClient(transport, opts...)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := initialize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// callText calls a tool and returns what it says.
func callText(ctx context.Context, c *client.Client, tool string, arguments map[string]any) (string, error) {
	var request mcp.CallToolRequest
	request.Params.Name = tool
	if arguments != nil { // else mcp-go would send null
		request.Params.Arguments = arguments
	}
	result, err := c.CallTool(ctx, request)
	if err != nil {
		return "", err
	}
	text := result.Content[0].(mcp.TextContent).Text
	if result.IsError {
		return "", fmt.Errorf("%s: %s", tool, text)
	}
	return text, nil
}

// lookAt asks the server what it sees.
func lookAt(t testing.TB, c *client.Client) seen {
	t.Helper()
	text, err := callText(t.Context(), c, "look", nil)
	if err != nil {
		t.Fatal(err)
	}
	var s seen
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}
