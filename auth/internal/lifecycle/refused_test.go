package lifecycle

import (
	"testing"
	"time"
)

// Only a refusal of the refresh token ends it, only the one that was sent, and
// until there is another [6].
func TestRefused(t *testing.T) {
	for class, want := range map[Class]map[Means]Decision{
		RefusedToken: {Nothing: fail(Unauthorized), Person: wait(Login), Alone: {Err: errTest}},
		// Nothing else can be tried, so this is.
		RefusedRequest: {Nothing: {Err: errTest}, Person: wait(Login), Alone: {Err: errTest}},
		RefusedClient:  {Nothing: {Err: errTest}, Person: {Err: errTest}, Alone: {Err: errTest}},
		Ours:           {Nothing: {Err: errTest}, Person: {Err: errTest}, Alone: {Err: errTest}},
		Ambiguous:      {Nothing: {Err: errTest}, Person: {Err: errTest}, Alone: {Err: errTest}},
		Throttled:      {Nothing: {Err: errTest}, Person: {Err: errTest}, Alone: {Err: errTest}},
		Transient:      {Nothing: {Err: errTest}, Person: {Err: errTest}, Alone: {Err: errTest}},
	} {
		for grant, decision := range want {
			b := newBench(t, Policy{Grant: grant})
			b.put(b.token(1))
			b.sleep(time.Hour)
			b.RenewFailed(b.now, Failure{Class: class, Err: errTest, Renewal: 9}) // of another one
			n := challenged(1)
			b.want(n, wait(Renew))
			b.renewFails(failure(class))
			n.After(Renew, failure(class))
			b.want(n, decision)
			b.sleep(6 * time.Second)
			switch decision.Err {
			case nil:
				b.want(challenged(1), decision)
			default:
				b.want(challenged(1), wait(Renew))
			}
			if ended := b.Refused() != nil; ended != (class == RefusedToken || class == RefusedRequest && grant != Nothing) {
				t.Errorf("class %d, grant %d: refused %v", class, grant, ended)
			}
			token := b.token(1)
			token.Renewal, token.Expiry = 2, b.now
			b.put(token)
			b.want(challenged(1), wait(Renew))
		}
	}
}

// A refresh token that was not refused itself is tried again when the login in
// its place fails, or when the program does something; a refused one is not.
func TestReprieve(t *testing.T) {
	for class, next := range map[Class]Decision{RefusedToken: wait(Login), RefusedRequest: wait(Renew)} {
		for name, change := range map[string]func(b *bench){
			"login fails":  func(b *bench) { b.LoginFailed(b.now, failure(Ours)); b.sleep(time.Second) },
			"program acts": func(b *bench) { b.Forgive() },
		} {
			b := newBench(t, Policy{Grant: Person})
			b.put(b.token(1))
			b.sleep(time.Hour)
			b.renewFails(failure(class))
			b.want(challenged(1), wait(Login))
			change(b)
			if d := b.next(challenged(1)); d.Action != next.Action || d.Op != next.Op {
				t.Errorf("class %d, %s: %+v, want %+v", class, name, d, next)
			}
		}
	}
}

// After a refusal of the refresh token: what each kind of caller does.
func TestAfterRefusal(t *testing.T) {
	for kind, want := range map[Kind]map[Means]Decision{
		Fresh:         {Nothing: fail(Unauthorized), Person: fail(NoToken), Alone: wait(Renew)},
		Challenged:    {Nothing: fail(Unauthorized), Person: wait(Login), Alone: wait(Renew)},
		Renewal:       {Nothing: fail(Unauthorized), Person: fail(NoToken), Alone: wait(Renew)},
		Authorization: {Nothing: fail(NoGrant), Person: wait(Login), Alone: wait(Renew)},
		Scopes:        {Nothing: fail(Unauthorized), Person: wait(Login), Alone: wait(Renew)},
		Upgrade:       {Nothing: fail(Unauthorized), Person: wait(Login), Alone: wait(Renew)},
	} {
		for grant, decision := range want {
			b := newBench(t, Policy{Grant: grant})
			b.put(b.token(1))
			b.sleep(time.Hour)
			b.renewFails(failure(RefusedToken))
			b.sleep(time.Second)
			b.want(&Need{Kind: kind, Token: 1}, decision)
		}
	}
}

// While a refresh token is refused another one may come, by a login in another process
// for example. The caller gets what that brings, and no error about the old one [6].
func TestRefusedWhileAnotherCame(t *testing.T) {
	for name, n := range map[string]*Need{
		"renewal": {Kind: Renewal}, "fresh": fresh(), "challenged": challenged(1), "authorization": {Kind: Authorization},
	} {
		for _, class := range []Class{RefusedToken, RefusedRequest, Transient} {
			b := newBench(t, Policy{Grant: Person})
			old := b.token(1)
			b.put(old)
			b.sleep(time.Hour)
			b.want(n, wait(Renew))
			token := b.token(2)
			token.Renewal, token.Expiry = 2, b.now
			b.put(token)
			f := Failure{Class: class, Err: errTest, Renewal: old.Renewal}
			b.RenewFailed(b.now, f)
			n.After(Renew, f)
			b.want(n, wait(Renew))

			f.Renewal = token.Renewal
			b.RenewFailed(b.now, f)
			n.After(Renew, f)
			if d := b.next(n); d.Action == Wait && d.Op == Renew {
				t.Errorf("%s, class %d: %+v after its own refresh token failed", name, class, d)
			}
			*n = Need{Kind: n.Kind, Token: n.Token, Operation: n.Operation}
		}
	}
}

// That goes on for a while only: a server that refuses whatever comes ends it.
func TestRefusedWhileOthersKeepComing(t *testing.T) {
	b := newBench(t, Policy{})
	b.put(b.token(1))
	n := &Need{Kind: Renewal}
	rounds := uint32(0)
	for d := b.next(n); d.Action == Wait; d = b.next(n) {
		if rounds++; rounds > 100 {
			t.Fatal("goes on for ever")
		}
		f := Failure{Class: RefusedToken, Err: errTest, Renewal: rounds}
		token := b.token(rounds + 1)
		token.Renewal = rounds + 1
		b.put(token)
		b.RenewFailed(b.now, f)
		n.After(Renew, f)
	}
	if rounds != maxLate {
		t.Errorf("%d renewals, want %d", rounds, maxLate)
	}
	b.want(n, Decision{Err: errTest})
}
