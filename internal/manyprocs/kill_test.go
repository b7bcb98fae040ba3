package manyprocs

import (
	"fmt"
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
	unfinished := f.unfinished(killed)
	sum = tally{len(killed), n.RotationsIssued, unfinished, f.lost}
	t.Log(sum)
	if n.FamiliesRevoked != f.lost || f.lost > unfinished {
		t.Errorf("%d families revoked, %d replaced, %d could not be helped", n.FamiliesRevoked, f.lost, unfinished)
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
type tally struct{ kills, rotations, unfinished, lost int }

func (s tally) String() string {
	return fmt.Sprintf("%d kills, %d rotations: %d processes died between the server's answer and the save; %d families lost", s.kills, s.rotations, s.unfinished, s.lost)
}

func (s *tally) add(more tally) {
	s.kills += more.kills
	s.rotations += more.rotations
	s.unfinished += more.unfinished
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
// after that of the process which took the lock from the dead. It is an error if
// a refresh token was sent twice for any other reason.
func (f *fleet) unfinished(killed map[string]bool) (count int) {
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
		switch {
		case !again:
			if r.Processed && r.Status == 200 {
				spent[token] = i
			}
		case killedOver(first) || killedOver(i):
			count++
		default:
			f.t.Errorf("request %d of %s, after %v, repeats the refresh token of request %d by %s, and neither was killed over it",
				i, r.Header.Get(workerHeader), r.Time.Sub(all[first].Time), first, all[first].Header.Get(workerHeader))
		}
	}
	return count
}
