package finder

import (
	"testing"
	"time"
)

// Where a challenge says that the metadata are, callers without a challenge look too: the
// well-known places of such a resource may have none, and it would seem to have moved.
func TestAddressOfAChallenge(t *testing.T) {
	const named = itself + "/metadata?v=1"
	challenged := query()
	challenged.Metadata = named
	bubble(t, func(t *testing.T, w *web) {
		w.gone(atMCP)
		w.set(named, resourceDoc(asOne))
		f := w.finder(Config{})
		p, err := f.Find(t.Context(), challenged)
		wantIssuer(t, p, err, asOne)
		p, err = f.Find(t.Context(), query())
		wantIssuer(t, p, err, asOne)
		wantRequests(t, w, named, asOne+wellKnown) // once
		time.Sleep(time.Hour)
		p, err = f.Find(t.Context(), query())
		wantIssuer(t, p, err, asOne)
		wantRequests(t, w, named, asOne+wellKnown)

		// The address dies: the well-known places are asked.
		for _, dead := range []page{{status: 404}, {status: 503}, {fail: errRefused}, {body: "{"}} {
			w.set(named, resourceDoc(asOne))
			w.gone(atMCP)
			time.Sleep(time.Hour)
			p, err = f.Find(t.Context(), challenged)
			wantIssuer(t, p, err, asOne)
			time.Sleep(time.Hour)
			w.set(named, dead)
			w.list(asTwo)
			p, err = f.Find(t.Context(), query())
			wantIssuer(t, p, err, asTwo)
			w.requested()
			time.Sleep(time.Hour)
			p, err = f.Find(t.Context(), query()) // the address is not asked again
			wantIssuer(t, p, err, asTwo)
			wantRequests(t, w, atMCP, asTwo+wellKnown)
		}
	})
}
