package manyprocs

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// short is how long the workers run in the normal tests.
const short = 3 * time.Second

func TestProcessesShareAFile(t *testing.T) {
	t.Parallel()
	share(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, short)
}

func TestProcessesShareRedis(t *testing.T) {
	t.Parallel()
	share(t, storeAt{Redis: redisInMemory(t), Lease: time.Minute}, short)
}

func TestProcessesShareSQLite(t *testing.T) {
	t.Parallel()
	share(t, storeAt{SQLite: filepath.Join(t.TempDir(), "tokens.db"), Lease: time.Minute}, short)
}

// share has 8 processes with 4 goroutines each use one token that lives for a
// second: no refresh token is sent twice, nobody logs in, and each request to
// the token endpoint is a rotation.
func share(t *testing.T, at storeAt, d time.Duration) {
	const processes = 8
	f := newFleet(t, at, false, authtest.Config{AccessTokenTTL: time.Second})
	for range processes {
		f.start()
	}
	for _, p := range f.crew {
		f.await(p)
	}
	<-time.After(d)
	reports := f.stop()
	if len(reports) != processes {
		t.Fatalf("%d reports", len(reports))
	}
	var sum report
	for i, r := range reports {
		if r.Accepted == 0 {
			t.Errorf("process %d did nothing", i)
		}
		sum.Accepted += r.Accepted
		sum.Rejected += r.Rejected
	}
	n := f.srv.Counts()
	if n.ReusedRefreshTokens != 0 || n.FamiliesRevoked != 0 || f.lost != 0 {
		t.Errorf("%d refresh tokens were reused, %d families revoked, %d lost", n.ReusedRefreshTokens, n.FamiliesRevoked, f.lost)
	}
	if n.Token != n.RotationsIssued || n.Refreshes != n.Token {
		t.Errorf("%d token requests, %d refreshes, %d rotations; want the same number", n.Token, n.Refreshes, n.RotationsIssued)
	}
	if least := int(d / time.Second / 2); n.RotationsIssued < least { // a token lives for one
		t.Errorf("%d rotations in %v, want %d at least", n.RotationsIssued, d, least)
	}
	by := make(map[string]int)
	for _, r := range f.srv.TokenRequests() {
		by[r.Header.Get(workerHeader)]++
	}
	t.Logf("%v: %d rotations by %d of %d processes, %d requests accepted, %d with a token that died on the way", d, n.RotationsIssued, len(by), processes, sum.Accepted, sum.Rejected)
	f.check()
}
