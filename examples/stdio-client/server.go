package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// What the demonstration's server reads from its environment.
const (
	apiVariable   = "NOTES_API"
	tokenVariable = "NOTES_TOKEN"
	fileVariable  = "NOTES_TOKEN_FILE"
)

// report is what a tool of the demonstration's server says, for the steps to
// check.
type report struct {
	PID         int
	Said        string   // by the API
	Environment []string // of the server
}

// serve is the demonstration's stdio server: an ordinary server, with two tools
// that call a protected API. It knows nothing of OAuth but the header to send
// and the header to pass on.
func serve(ctx context.Context, api string) int {
	s := server.NewMCPServer("notes", "1", server.WithToolCapabilities(false))
	for tool, method := range map[string]string{"read_notes": "notes/read", "write_note": "notes/write"} {
		s.AddTool(mcp.NewTool(tool), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			token, err := currentToken()
			if err != nil {
				return mcp.NewToolResultError(err.Error()), nil
			}
			return callAPI(ctx, api, method, token)
		})
	}
	if err := server.NewStdioServer(s).Listen(ctx, os.Stdin, os.Stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "notes:", err)
		return 1
	}
	return 0
}

// currentToken reads the file each time, if there is one: the token in the
// environment is the one that the server was started with.
func currentToken() (string, error) {
	path := os.Getenv(fileVariable)
	if path == "" {
		return os.Getenv(tokenVariable), nil
	}
	token, err := os.ReadFile(path)
	return string(token), err
}

// callAPI passes a refusal on as hosted clients expect it, in the result's
// _meta, so that the client can do something about it.
func callAPI(ctx context.Context, api, method, token string) (*mcp.CallToolResult, error) {
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":%q}`, method)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, api, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		result := mcp.NewToolResultError("the API answers " + response.Status)
		if challenges := response.Header.Values("WWW-Authenticate"); len(challenges) > 0 {
			result.Meta = mcp.NewMetaFromMap(map[string]any{"mcp/www_authenticate": challenges})
		}
		return result, nil
	}
	var said string
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
		return nil, err
	}
	text, err := json.Marshal(report{PID: os.Getpid(), Said: said, Environment: os.Environ()})
	if err != nil {
		return nil, err
	}
	return mcp.NewToolResultText(string(text)), nil
}
