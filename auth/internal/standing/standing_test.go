package standing

import (
	"fmt"
	"testing"
	"time"
)

const issuer, id = "https://as.example", "c1"

func TestCertain(t *testing.T) {
	var b Book
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	if b.Certain(issuer, id, now) {
		t.Error("a client that nobody has seen is certain")
	}
	b.Known(issuer, id, now)
	if !b.Certain(issuer, id, now.Add(lasts)) || b.Certain(issuer, id, now.Add(lasts+1)) {
		t.Error("not certain for an hour")
	}
	if b.Certain("https://other.example", id, now) || b.Certain(issuer, "c2", now) {
		t.Error("another server's client, or another client, is certain")
	}
	b.Doubt(issuer, id)
	if b.Certain(issuer, id, now) {
		t.Error("certain in spite of a doubt")
	}
}

// One refusal is none, unless another follows soon.
func TestRefused(t *testing.T) {
	var b Book
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	if b.Refused(issuer, id, now) {
		t.Error("the first refusal is certain")
	}
	if b.Refused(issuer, id, now.Add(confirms+1)) {
		t.Error("certain though the first was long ago")
	}
	if !b.Refused(issuer, id, now.Add(confirms+2)) {
		t.Error("the second refusal is not certain")
	}
	b.Known(issuer, id, now.Add(confirms+3))
	if b.Refused(issuer, id, now.Add(confirms+4)) {
		t.Error("certain though the server took the client meanwhile")
	}
}

func TestHopeless(t *testing.T) {
	var b Book
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	b.InVain(issuer, id, now)
	if !b.Hopeless(issuer, id, now) || b.Hopeless(issuer, id, now.Add(lasts+1)) || b.Hopeless(issuer, "c2", now) {
		t.Error("wrong client or wrong time")
	}
}

func TestBounded(t *testing.T) {
	var b Book
	for i := range 3 * most {
		b.Known(issuer, fmt.Sprint(i), time.Now())
	}
	if len(b.clients) > most {
		t.Errorf("%d clients, want %d at most", len(b.clients), most)
	}
}
