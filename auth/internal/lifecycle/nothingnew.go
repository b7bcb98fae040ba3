package lifecycle

import (
	"errors"
	"time"
)

// nothingNewPause is how long a renewal that brought nothing new is left alone
// while the old token works.
const nothingNewPause = time.Second

// errNothingNew is what [Machine.LastErr] says meanwhile. No caller gets it: a
// caller who needs a token may ask at once.
var errNothingNew = errors.New("there is no other token yet")

// NothingNew notes that a renewal did not fail, but brought no other token than
// the one in use: the source has no other yet. That ends the pause after
// earlier failures. refused: the renewal began because a server had refused the
// token. One that nothing accepts then counts as one more of those that are
// refused in a row [12]: there is no better one.
func (m *Machine) NothingNew(now time.Time, refused bool) {
	t := m.troubled()
	at := nanos(now)
	t.renew = pause{err: errNothingNew, plain: errNothingNew, from: at, until: at + int64(nothingNewPause), soon: at}
	if refused && !m.token.accepted && t.rejections.dud == m.token.id {
		t.rejections.dud = 0 // its next refusal is another one's
	}
}
