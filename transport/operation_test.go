package transport

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Requests to one path are told apart by what they call, as far as that is
// known, and the names are bounded.
func TestOperation(t *testing.T) {
	for _, tt := range []struct{ method, body, want string }{
		{"", "", "GET /mcp"},
		{"DELETE", "", "DELETE /mcp"},
		{"POST", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "POST /mcp ping"},
		{"POST", `{"method":"tools/call","params":{"name":"search"}}`, "POST /mcp tools/call search"},
		{"POST", `{"method":"resources/read","params":{"uri":"file:///x"}}`, "POST /mcp resources/read file:///x"},
		{"POST", `{"params":{"name":"search"}}`, "POST /mcp"},
		{"POST", `[{"method":"ping"}]`, "POST /mcp"},
		{"POST", `{"method":7}`, "POST /mcp"},
		{"POST", "no JSON", "POST /mcp"},
		{"POST", `{"method":"` + strings.Repeat("x", 9999) + `"}`, "POST /mcp " + strings.Repeat("x", maxOperation-10)},
	} {
		for _, kept := range []bool{false, true} {
			req, err := http.NewRequest(tt.method, "https://mcp.example.com/mcp?secret", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Method = tt.method
			if kept {
				req.GetBody = nil
			}
			body := replayOf(req, 0)
			if body.kept != nil {
				_, _ = io.ReadAll(body.kept)
			}
			if got := operation(req, body); got != tt.want {
				t.Errorf("%s %.40s (kept %v): %q, want %q", tt.method, tt.body, kept, got, tt.want)
			}
		}
	}
	req, _ := http.NewRequest("POST", "https://mcp.example.com/mcp", nil)
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	if got := operation(req, replay{}); got != "POST /mcp" {
		t.Errorf("without a body: %q", got)
	}
}
