//go:build unix

package manyprocs

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// A process is suspended while the answer to its token request is on the way.
// It keeps the lock of the file, so that nobody else sends the refresh token
// that is being spent: they wait, say what they wait for if it takes too long, and
// serve what they have. When it goes on it finds the answer, stores it, and all is well.
func TestSuspendedAmidstARequestOnAFile(t *testing.T) {
	t.Parallel()
	f := newFleet(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, true, authtest.Config{AccessTokenTTL: time.Hour})
	first := f.suspended()
	sent := f.srv.Counts().Token

	f.uneasily(true)
	f.job.RefreshTimeout, f.job.AnswerTimeout = 2*time.Second, time.Second
	second := f.start()
	f.expect(second, sayError+" auth: store: lock", "suspended")
	if n := f.srv.Counts().Token; n != sent {
		t.Errorf("%d token requests by others", n-sent)
	}
	second.forget()
	f.resume(first)
	f.expect(second, sayReady)
	f.stop()
	f.uneasily(false)
	f.harmless()
	f.check()
}

// A process is suspended before it has sent its refresh token, for longer than its refresh
// may take. That time went by in sleep: the refresh begins again, and its callers
// hear nothing of it.
func TestSuspendedBeforeSendingOnAFile(t *testing.T) {
	t.Parallel()
	f := newFleet(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, true, authtest.Config{AccessTokenTTL: time.Hour})
	f.job.Server = auth.Server{Issuer: f.srv.Issuer} // the rest is discovered, under the lock
	f.job.RefreshTimeout, f.job.AnswerTimeout = 2*time.Second, time.Second
	f.srv.Inject(authtest.MetadataEndpoint, authtest.DelayAfter(100*time.Millisecond))
	first := f.start()
	f.until("a request for metadata", func() bool { return f.srv.Counts().Metadata > 0 })
	f.suspend(first)
	if n := f.srv.Counts().Token; n != 0 {
		t.Fatalf("%d token requests", n)
	}
	f.srv.ClearFaults(authtest.MetadataEndpoint)

	f.uneasily(true)
	second := f.start()
	f.expect(second, sayError+" auth: store: lock", "suspended") // it has waited for longer
	f.resume(first)
	f.await(first)
	for len(first.lines) > 0 {
		if line := <-first.lines; strings.HasPrefix(line, sayError) {
			t.Errorf("the one that was suspended: %s", line)
		}
	}
	f.await(second)
	f.uneasily(false)
	f.stop()
	f.harmless()
	f.check()
}

// harmless checks that no refresh token was sent twice.
func (f *fleet) harmless() {
	f.t.Helper()
	n := f.srv.Counts()
	if n.ReusedRefreshTokens != 0 || n.FamiliesRevoked != 0 || f.lost != 0 || n.Token != n.RotationsIssued {
		f.t.Errorf("%d token requests, %d rotations, %d refresh tokens reused, %d families revoked, %d lost",
			n.Token, n.RotationsIssued, n.ReusedRefreshTokens, n.FamiliesRevoked, f.lost)
	}
}

// suspended is a worker that is stopped once the server has rotated for it,
// before the answer arrives. On a slow machine the answer may be faster than the
// signal: then it goes on, and is stopped at its next request.
func (f *fleet) suspended() *process {
	f.t.Helper()
	p := f.start()
	f.await(p)
	for deadline := time.Now().Add(patience); ; f.resume(p) {
		before := len(f.srv.TokenRequests())
		f.srv.Inject(authtest.TokenEndpoint, authtest.DelayAfter(time.Second))
		delayed := func() *authtest.TokenRequest {
			for _, r := range f.srv.TokenRequests()[before:] {
				if r.Fault != "" && r.Processed {
					return &r
				}
			}
			return nil
		}
		f.until("a token request that waits for its answer", func() bool { return delayed() != nil })
		f.suspend(p)
		if !delayed().Answered {
			return p
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s was never stopped before its answer", p.name)
		}
	}
}

// requestsOf counts the token requests of a worker.
func (f *fleet) requestsOf(p *process) (n int) {
	for _, r := range f.srv.TokenRequests() {
		if r.Header.Get(workerHeader) == p.name {
			n++
		}
	}
	return n
}

// suspend stops a worker and waits until it has stopped.
func (f *fleet) suspend(p *process) {
	f.t.Helper()
	tell(f.t, p, syscall.SIGSTOP)
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || !status.Stopped() {
			f.t.Fatalf("%s did not stop: %v", p.name, err)
		}
		return
	}
}

func (f *fleet) resume(p *process) {
	f.t.Helper()
	tell(f.t, p, syscall.SIGCONT)
}

// Suspended for longer than its lease in Redis, a process finds that another
// has come in its place. What it may still do depends on how far it had come.

// It had not sent its request: it does not send it any more, since by now the
// other has spent the refresh token, but reads the store and takes what that
// has.
func suspendedBeforeSending(t *testing.T, at storeAt) {
	f := newFleet(t, at, true, authtest.Config{AccessTokenTTL: time.Hour})
	f.job.Server = auth.Server{Issuer: f.srv.Issuer} // the rest is discovered, under the lock
	f.job.RefreshTimeout = 3 * time.Second
	f.uneasily(true)
	f.srv.Inject(authtest.MetadataEndpoint, authtest.DelayAfter(100*time.Millisecond))
	first := f.start()
	f.until("a request for metadata", func() bool { return f.srv.Counts().Metadata > 0 })
	f.suspend(first)
	if n := f.srv.Counts().Token; n != 0 {
		t.Fatalf("%d token requests", n)
	}

	second := f.start()
	f.await(second) // after the lease, which the first finds lost by its own clock
	f.srv.ClearFaults(authtest.MetadataEndpoint)
	f.resume(first)
	f.await(first)
	f.stop()
	f.uneasily(false)
	f.harmless()
	f.check()
}

// It had sent its request, and the answer waited for it: the other has sent the
// same refresh token, as after a crash. What the first has is not stored over
// what the other has. A server that grants a grace period makes nothing of it;
// one that does not ends the family, and after one login for all they go on.
func suspendedAfterSending(t *testing.T, at storeAt, grace time.Duration) {
	f := newFleet(t, at, true, authtest.Config{AccessTokenTTL: time.Hour, RotationGrace: grace})
	f.job.RefreshTimeout = 10 * time.Second
	f.uneasily(true)
	first := f.suspended()
	second := f.start()
	f.await(second)
	sent := f.requestsOf(first)
	f.resume(first)
	f.until("a token request by the first", func() bool { return f.requestsOf(first) > sent+1 }) // all is well with it again
	f.stop()
	f.uneasily(false)
	n := f.srv.Counts()
	t.Logf("grace %v: %d families revoked, %d logins for all", grace, n.FamiliesRevoked, f.lost)
	if want := map[bool]int{true: 0, false: 1}[grace > 0]; n.FamiliesRevoked != want || f.lost != want {
		t.Errorf("%d families revoked, %d lost, want %d", n.FamiliesRevoked, f.lost, want)
	}
	f.check()
}
