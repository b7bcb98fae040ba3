package mcpgo

import (
	"io"
	"sync"
)

// maxRecentOutput bounds what is kept of a server's standard error.
const maxRecentOutput = 64 << 10

// recentOutput is a pipe that never blocks its writers: the oldest output is
// dropped for the newest.
type recentOutput struct {
	mu     sync.Mutex
	more   *sync.Cond
	data   []byte
	closed bool
}

func newRecentOutput() *recentOutput {
	r := new(recentOutput)
	r.more = sync.NewCond(&r.mu)
	return r
}

// Write implements [io.Writer].
func (r *recentOutput) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return len(p), nil // an error would end the copying, and block the server
	}
	r.data = append(r.data, p...)
	if over := len(r.data) - maxRecentOutput; over > 0 {
		r.data = append(r.data[:0], r.data[over:]...)
	}
	r.more.Broadcast()
	return len(p), nil
}

// Read implements [io.Reader]. It waits for output until Close.
func (r *recentOutput) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.data) == 0 && !r.closed {
		r.more.Wait()
	}
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.data)
	r.data = append(r.data[:0], r.data[n:]...)
	return n, nil
}

// Close implements [io.Closer].
func (r *recentOutput) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.more.Broadcast()
	return nil
}
