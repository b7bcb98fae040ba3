package external

import (
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// try is what is known of a request that is sent again.
type try struct {
	tries    uint8  // with this token
	replaced bool   // another token was refused before
	since    uint32 // the machine's, of the first try
	begun    time.Time
}

const (
	// longestTry is how long a request is taken to go on. Its caller may keep
	// the token for later requests, about which the try says nothing.
	longestTry = time.Minute
	// maxTries bounds a generation. More requests at once are possible; the
	// oldest then count as first tries.
	maxTries = 1 << 14
)

// tries remembers requests by the copy of the token that was handed out for
// them. A request that is accepted or refused is taken out; what is left are
// those that ended in another way, which go with their generation.
type tries struct {
	young, old map[*auth.Token]try
	turned     time.Time // when young began
}

// put returns a copy of t for the request that is sent again as next.
func (r *tries) put(t *auth.Token, next try) *auth.Token {
	if age := next.begun.Sub(r.turned); age < 0 || age >= longestTry || len(r.young) >= maxTries {
		r.old, r.young, r.turned = r.young, nil, next.begun
	}
	if r.young == nil {
		r.young = make(map[*auth.Token]try)
	}
	of := *t
	r.young[&of] = next
	return &of
}

// take forgets the request that went with t and returns what was known of it;
// nothing for a first try.
func (r *tries) take(now time.Time, t *auth.Token) try {
	for _, generation := range []map[*auth.Token]try{r.young, r.old} {
		if last, ok := generation[t]; ok {
			delete(generation, t)
			if now.Sub(last.begun) < longestTry {
				return last
			}
		}
	}
	return try{}
}
