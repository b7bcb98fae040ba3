package manyprocs

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// clocked is a store as a process sees it whose clock is wrong. Nobody can set
// the clock of one process, but clocks are wrong only compared with others, and
// processes compare them through the times in a record: what such a process
// reads is late by as much as its clock is ahead, and what it writes is early.
type clocked struct {
	auth.Store
	steps []time.Duration // how far the clock is ahead, in turn
	start time.Time
}

func (c *clocked) ahead() time.Duration {
	return c.steps[int(time.Since(c.start)/(500*time.Millisecond))%len(c.steps)]
}

func (c *clocked) Load(ctx context.Context, key auth.Key) (*auth.Record, error) {
	r, err := c.Store.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	return shifted(r, -c.ahead()), nil
}

func (c *clocked) Save(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
	return c.Store.Save(ctx, key, shifted(r, c.ahead()))
}

// Probe implements [auth.Prober].
func (c *clocked) Probe(ctx context.Context, key auth.Key) error {
	if p, ok := c.Store.(auth.Prober); ok {
		return p.Probe(ctx, key)
	}
	return nil
}

func shifted(r *auth.Record, d time.Duration) *auth.Record {
	next := *r
	if !r.Obtained.IsZero() {
		next.Obtained = r.Obtained.Add(d)
	}
	if r.Token != nil {
		tok := *r.Token
		if !tok.Expiry.IsZero() {
			tok.Expiry = tok.Expiry.Add(d)
		}
		next.Token = &tok
	}
	return &next
}

const day = 24 * time.Hour

// clocks of processes: right, a day ahead, a day behind, and stepping back and
// forward by a day all the time.
var clocks = [][]time.Duration{nil, {day}, {-day}, {0, day, 0, -day}, {day, -day}}

func TestProcessesWithWrongClocksShareAFile(t *testing.T) {
	t.Parallel()
	shareInTime(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, short)
}

func TestProcessesWithWrongClocksShareRedis(t *testing.T) {
	t.Parallel()
	shareInTime(t, storeAt{Redis: redisInMemory(t), Lease: time.Minute}, short)
}

// shareInTime has processes whose clocks are a day apart refresh one token all
// the time. Who may refresh is a matter of lock and generation, in which no
// clock has a part, so no refresh token is sent twice and nobody logs in. A
// clock decides only when: whose clock is ahead refreshes what the others take
// for fresh; whose clock is behind presents a token that is dead, is told so by
// the MCP server, and refreshes then.
func shareInTime(t *testing.T, at storeAt, d time.Duration) {
	f := newFleet(t, at, true, authtest.Config{AccessTokenTTL: time.Hour})
	var crew []*process
	for _, clock := range clocks {
		f.job.Clock = clock
		crew = append(crew, f.start())
	}
	for _, p := range crew {
		f.await(p)
	}
	<-time.After(d)
	for i, p := range crew { // however long that takes on a slow machine
		select {
		case <-p.busy:
		case <-time.After(patience):
			t.Errorf("the MCP server took less than %d requests of the process with the clock %v", some, clocks[i])
		}
	}
	f.stop()
	n := f.srv.Counts()
	if n.ReusedRefreshTokens != 0 || n.FamiliesRevoked != 0 || f.lost != 0 || n.Token != n.RotationsIssued {
		t.Errorf("%d token requests, %d rotations, %d refresh tokens reused, %d families revoked, %d lost",
			n.Token, n.RotationsIssued, n.ReusedRefreshTokens, n.FamiliesRevoked, f.lost)
	}
	t.Logf("%v: %d rotations by %d processes", d, n.RotationsIssued, len(crew))
	f.check()
}
