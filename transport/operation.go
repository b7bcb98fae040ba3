package transport

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// operation names the request that was refused: method and path, and for a
// JSON-RPC request what is called. A server may refuse one tool and accept all
// others, and all of them go to one path.
func operation(req *http.Request, body replay) string {
	name := req.Method + " " + req.URL.Path
	if name[0] == ' ' {
		name = http.MethodGet + name // what an empty method means
	}
	var call struct {
		Method string `json:"method"`
		Params struct {
			Name string `json:"name"`
			URI  string `json:"uri"`
		} `json:"params"`
	}
	if json.Unmarshal(body.peek(req), &call) != nil || call.Method == "" {
		return name
	}
	name += " " + call.Method
	if what := call.Params.Name + call.Params.URI; what != "" {
		name += " " + what
	}
	return name[:min(len(name), maxOperation)]
}

// listens reports whether the request opens a stream for what the server sends
// by itself, as MCP has it (2026-07-28, basic/transports). Other GETs are
// requests like any other.
func listens(req *http.Request) bool {
	return (req.Method == "" || req.Method == http.MethodGet) && strings.Contains(req.Header.Get("Accept"), "text/event-stream")
}

// maxOperation bounds the name: tools and resources can be called anything.
const maxOperation = 512

// peek returns the body that was sent, if there is a copy; nil otherwise.
func (r replay) peek(req *http.Request) []byte {
	switch {
	case r.kept != nil:
		data, _ := r.kept.whole()
		return data
	case req.GetBody == nil:
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	defer body.Close()
	data, _ := io.ReadAll(io.LimitReader(body, defaultBodyLimit))
	return data
}
