package manyprocs

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

// shortKills is how many processes are killed in the normal tests.
const shortKills = 10

func TestProcessesAreKilled(t *testing.T) {
	t.Parallel()
	killMany(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, shortKills, 0)
}

func TestProcessesAreKilledWithinTheGrace(t *testing.T) {
	t.Parallel()
	killMany(t, storeAt{Dir: filepath.Join(t.TempDir(), "tokens")}, shortKills, time.Minute)
}

// answerTime is how long the token endpoint takes to answer after it has
// rotated: half of all the time, so that many are killed in it.
const answerTime = 15 * time.Millisecond

// killMany kills processes that refresh all the time, at random points, and
// starts others in their place. Each of those has to find what it needs: no
// half-written file, no lock that nobody holds. A family of tokens may be lost
// only if its process was killed between the server's answer and the save, and
// not even then when the server grants a grace period.
func killMany(t *testing.T, at storeAt, kills int, grace time.Duration) (sum tally) {
	f := newFleet(t, at, true, authtest.Config{AccessTokenTTL: time.Minute, RotationGrace: grace})
	f.srv.InjectAlways(authtest.TokenEndpoint, authtest.DelayAfter(answerTime))
	crew := make([]*process, 4)
	for i := range crew {
		crew[i] = f.start()
	}
	for _, p := range crew {
		f.await(p)
	}
	killed := make(map[string]bool)
	for range kills {
		<-time.After(rand.N(60 * time.Millisecond))
		i := rand.N(len(crew))
		if last := f.lastSender(); rand.N(2) == 0 {
			for n, p := range crew {
				if p.name == last {
					i = n
				}
			}
		}
		f.kill(crew[i])
		killed[crew[i].name] = true
		crew[i] = f.start()
		f.await(crew[i])
	}
	f.stop()
	f.srv.ClearFaults(authtest.TokenEndpoint)
	f.check()

	n := f.srv.Counts()
	unfinished, outlived := f.unfinished(killed)
	sum = tally{len(killed), n.RotationsIssued, unfinished, outlived, f.lost}
	t.Log(sum)
	if n.FamiliesRevoked != f.lost || f.lost > unfinished+outlived {
		t.Errorf("%d families revoked, %d replaced, %d could not be helped", n.FamiliesRevoked, f.lost, unfinished+outlived)
	}
	if grace > 0 && f.lost > 0 {
		t.Errorf("%d families lost in spite of the grace period", f.lost)
	}
	if n.RotationsIssued < kills {
		t.Errorf("%d rotations: nothing was at stake", n.RotationsIssued)
	}
	return sum
}

// tally is what came of killing.
type tally struct{ kills, rotations, unfinished, outlived, lost int }

func (s tally) String() string {
	return fmt.Sprintf("%d kills, %d rotations: %d processes died between the server's answer and the save, %d stood still there past their lease; %d families lost",
		s.kills, s.rotations, s.unfinished, s.outlived, s.lost)
}

func (s *tally) add(more tally) {
	s.kills += more.kills
	s.rotations += more.rotations
	s.unfinished += more.unfinished
	s.outlived += more.outlived
	s.lost += more.lost
}

// lastSender is the worker that sent the newest token request.
func (f *fleet) lastSender() string {
	all := f.srv.TokenRequests()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1].Header.Get(workerHeader)
}

// unfinished counts the rotations whose new token nobody has ever sent because
// the process that asked for it was killed. Its request may also arrive late,
// after that of the process which took the lock from the dead. outlived counts
// those whose process lived and lost its lease after it had sent its request, on a
// machine that stood still. It is an error if a refresh token was sent twice for
// any other reason.
func (f *fleet) unfinished(killed map[string]bool) (count, outlived int) {
	f.t.Helper()
	all := f.srv.TokenRequests()
	last := make(map[string]int) // index of each worker's last request
	for i, r := range all {
		last[r.Header.Get(workerHeader)] = i
	}
	killedOver := func(i int) bool {
		sender := all[i].Header.Get(workerHeader)
		return killed[sender] && last[sender] == i
	}
	spent := make(map[string]int) // refresh token: index of the request that spent it
	for i, r := range all {
		token := r.Form.Get("refresh_token")
		first, again := spent[token]
		if !again {
			if r.Processed && r.Status == 200 {
				spent[token] = i
			}
			continue
		}
		if killedOver(first) || killedOver(i) {
			count++
			continue
		}
		apart := f.sent(r).Sub(f.sent(all[first])).Abs() // they may arrive in either order
		if apart >= f.job.Store.margin() {
			outlived++
		} else {
			f.t.Errorf("request %d of %s, sent after %v, repeats the refresh token of request %d by %s, and neither was killed over it",
				i, r.Header.Get(workerHeader), apart, first, all[first].Header.Get(workerHeader))
		}
	}
	return count, outlived
}

// sent is when a worker sent a request.
func (f *fleet) sent(r authtest.TokenRequest) time.Time {
	f.t.Helper()
	at, err := time.Parse(time.RFC3339Nano, r.Header.Get(sentHeader))
	if err != nil {
		f.t.Errorf("request of %q: %v", r.Header.Get(workerHeader), err)
	}
	return at
}

// margin is what is left of a lease at least when a refresh token is sent under it.
// Until that is over nobody else has the lock, whatever happens to the process.
func (at storeAt) margin() time.Duration {
	if at.Lease == 0 {
		return math.MaxInt64 // the operating system's lock does not end
	}
	return at.Lease / 5
}
