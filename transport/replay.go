package transport

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// defaultBodyLimit is [RoundTripper.BodyLimit] when it is zero.
const defaultBodyLimit = 1 << 20

// discardLimit and discardTime are how much of an unwanted response is read, and
// for how long, so that its connection can be used again.
const (
	discardLimit = 64 << 10
	discardTime  = time.Second
)

// replay knows how a request's body can be sent again; nil when there is
// nothing to know, because there is no body or GetBody makes it again.
type replay struct{ kept *keeper }

func replayOf(req *http.Request, limit int) replay {
	if req.Body == nil || req.Body == http.NoBody || req.GetBody != nil || limit < 0 {
		return replay{}
	}
	if limit == 0 {
		limit = defaultBodyLimit
	}
	return replay{&keeper{body: req.Body, limit: limit}}
}

// first puts the body on the first copy of the request.
func (r replay) first(out *http.Request) {
	if r.kept != nil {
		out.Body = r.kept
	}
}

// repeatable reports whether the body that was sent can be sent again.
func (r replay) repeatable(req *http.Request) bool {
	switch {
	case req.Body == nil || req.Body == http.NoBody || req.GetBody != nil:
		return true
	case r.kept == nil:
		return false
	}
	_, ok := r.kept.whole()
	return ok
}

// again puts the body on another copy.
func (r replay) again(req, out *http.Request) error {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return nil
	case req.GetBody != nil:
		body, err := req.GetBody()
		out.Body = body
		return err
	}
	data, _ := r.kept.whole()
	out.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

// keeper is a body that remembers what was read from it, up to a limit. It is
// still streamed: nothing is read ahead of the connection. The base transport
// may read it after RoundTrip has returned, hence the lock.
type keeper struct {
	body  io.ReadCloser
	limit int

	mu   sync.Mutex
	data []byte
	over bool // more than limit
	end  bool // read to its end
}

func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.body.Read(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.data)+n > k.limit {
		k.over, k.data = true, nil
	}
	if !k.over {
		k.data = append(k.data, p[:n]...)
	}
	if err == io.EOF {
		k.end = true
	}
	return n, err
}

func (k *keeper) Close() error { return k.body.Close() }

// whole returns the body if all of it was read and kept.
func (k *keeper) whole() ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.data, k.end && !k.over
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// discard reads a little of a response that nobody wants and closes it. A server
// that sends it byte by byte does not hold up what comes next.
func discard(resp *http.Response) {
	slow := time.AfterFunc(discardTime, func() { _ = resp.Body.Close() })
	defer slow.Stop()
	_, _ = io.CopyN(io.Discard, resp.Body, discardLimit)
	_ = resp.Body.Close()
}
