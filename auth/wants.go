package auth

import (
	"context"
	"sync"
	"time"
)

// stepUpGather is how long an upgrade waits for others that are needed at the
// same moment, so that they make one request, or one login, together.
const stepUpGather = 20 * time.Millisecond

// wants are the scopes that an operation asks for beyond those granted. More
// may be added until it makes its request.
type wants struct {
	gather bool // wait a moment for more

	mu     sync.Mutex
	scopes []string
	sealed bool
}

// newWants returns wants that gather more if gather.
func newWants(scopes []string, gather bool) *wants {
	return &wants{scopes: normalizeScopes(scopes), gather: gather, sealed: !gather}
}

// add asks for more. It reports false when that comes too late.
func (w *wants) add(scopes []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case coversScopes(w.scopes, scopes):
		return true
	case w.sealed:
		return false
	}
	w.scopes = unionScopes(w.scopes, scopes)
	return true
}

// asked are the scopes so far.
func (w *wants) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.scopes
}

// seal ends the time for add and returns what is asked for.
func (w *wants) seal(ctx context.Context) []string {
	if w.gather {
		timer := time.NewTimer(stepUpGather)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sealed = true
	return w.scopes
}
