package auth

import (
	"io"
	"sync"
)

// mostClosers close managers at once: a store may take its time to end the hints.
const mostClosers = 16

// closers close what a pool has evicted, some at a time. Wait waits until
// they are through.
type closers struct {
	sync.WaitGroup

	mu      sync.Mutex
	retired []io.Closer
	running int
}

// retire has m closed, which nobody uses.
func (c *closers) retire(m io.Closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = append(c.retired, m)
	if c.running < mostClosers {
		c.running++
		c.Go(c.run)
	}
}

func (c *closers) run() {
	for m := c.next(); m != nil; m = c.next() {
		_ = m.Close()
	}
}

// next returns one that is to be closed; nil: there is none, and the caller ends.
func (c *closers) next() io.Closer {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.retired) - 1
	if last < 0 {
		c.running--
		return nil
	}
	m := c.retired[last]
	c.retired[last] = nil
	c.retired = c.retired[:last]
	return m
}
