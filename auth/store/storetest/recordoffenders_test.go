package storetest

import (
	"context"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// recordOffenders break what a store promises of its records.
var recordOffenders = []offender{
	{"load of nothing gives an empty record", "load of nothing", func(b *broken) {
		b.load = func(ctx context.Context, key auth.Key) (*auth.Record, error) {
			if r, err := b.watched.Load(ctx, key); err == nil {
				return r, nil
			}
			return &auth.Record{}, nil
		}
	}},
	{"load of nothing gives nothing, and no error", "load of nothing", func(b *broken) {
		b.load = func(ctx context.Context, key auth.Key) (*auth.Record, error) {
			r, err := b.watched.Load(ctx, key)
			if err != nil {
				return nil, nil
			}
			return r, nil
		}
	}},
	{"expiry to the second", "round trip", func(b *broken) {
		change(b, func(r *auth.Record) {
			if r.Token != nil {
				r.Token.Expiry = r.Token.Expiry.Truncate(time.Second)
			}
		})
	}},
	{"zero time becomes 1970", "round trip", func(b *broken) {
		change(b, func(r *auth.Record) {
			if r.Obtained.IsZero() {
				r.Obtained = time.Unix(0, 0)
			}
		})
	}},
	{"nil scopes become empty ones", "round trip", func(b *broken) {
		change(b, func(r *auth.Record) {
			if r.Token != nil && r.Token.Scopes == nil {
				r.Token.Scopes = []string{}
			}
		})
	}},
	{"no token becomes an empty one", "round trip", func(b *broken) {
		change(b, func(r *auth.Record) { r.Token = &auth.Token{} })
	}},
	{"registration forgotten", "round trip", func(b *broken) { change(b, func(r *auth.Record) { r.Registration = nil }) }},
	{"registration without its URIs", "round trip", func(b *broken) {
		change(b, func(r *auth.Record) {
			if r.Registration != nil {
				r.Registration.RedirectURIs = nil
			}
		})
	}},
	{"proof key as text", "round trip", func(b *broken) {
		change(b, func(r *auth.Record) { r.ProofKey = []byte(strings.ToValidUTF8(string(r.ProofKey), "?")) })
	}},
	{"lineage forgotten", "round trip", func(b *broken) { change(b, func(r *auth.Record) { r.Replaced = "" }) }},
	{"refusal forgotten", "round trip", func(b *broken) { change(b, func(r *auth.Record) { r.Refusal = nil }) }},
	{"step-ups forgotten", "round trip", func(b *broken) { change(b, func(r *auth.Record) { r.StepUps = nil }) }},
	{"big tokens cut", "round trip", func(b *broken) {
		change(b, func(r *auth.Record) {
			if r.Token != nil && len(r.Token.RefreshToken) > 2560 {
				r.Token.RefreshToken = r.Token.RefreshToken[:2560]
			}
		})
	}},
	{"save fails", "round trip", func(b *broken) {
		b.save = func(context.Context, auth.Key, *auth.Record) (uint64, error) { return 0, errBroken }
	}},
	{"load has another generation than save", "round trip", func(b *broken) {
		change(b, func(r *auth.Record) { r.Generation++ })
	}},
	{"the record saved is the caller's", "nothing is shared with the caller", func(b *broken) {
		saved := make(map[auth.Key]*auth.Record)
		b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
			g, err := b.watched.Save(ctx, key, r)
			saved[key] = r
			return g, err
		}
		b.load = func(ctx context.Context, key auth.Key) (*auth.Record, error) {
			r, err := b.watched.Load(ctx, key)
			if err == nil {
				r = withGeneration(saved[key], r.Generation)
			}
			return r, err
		}
	}},
	{"the record loaded is everybody's", "nothing is shared with the caller", func(b *broken) {
		loaded := make(map[auth.Key]*auth.Record)
		b.load = func(ctx context.Context, key auth.Key) (*auth.Record, error) {
			if r := loaded[key]; r != nil {
				return r, nil
			}
			r, err := b.watched.Load(ctx, key)
			loaded[key] = r
			return r, err
		}
	}},
	{"save sets the caller's generation", "nothing is shared with the caller", func(b *broken) {
		b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
			g, err := b.watched.Save(ctx, key, r)
			r.Generation = g
			return g, err
		}
	}},
	{"subject ignored", "keys do not mix", func(b *broken) {
		rekey(b, func(k auth.Key) auth.Key { k.Subject = ""; return k })
	}},
	{"fields joined", "keys do not mix", func(b *broken) {
		rekey(b, func(k auth.Key) auth.Key { return auth.Key{Resource: k.Resource + k.Issuer + k.ClientID + k.Subject} })
	}},
	{"case ignored", "keys do not mix", func(b *broken) {
		rekey(b, func(k auth.Key) auth.Key { k.Resource = strings.ToLower(k.Resource); return k })
	}},
	{"long subjects cut", "keys do not mix", func(b *broken) {
		b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
			if len(key.Subject) > 255 {
				return 0, errBroken
			}
			return b.watched.Save(ctx, key, r)
		}
	}},
	{"delete clears all", "keys do not mix", func(b *broken) {
		b.del = func(context.Context, auth.Key, uint64) error {
			b.watched.MemoryStore = new(auth.MemoryStore)
			return nil
		}
	}},
	{"save overwrites", "save creates only what is not there", func(b *broken) { b.save = b.overwrite }},
	{"save replaces what was loaded before", "save replaces only what was loaded", func(b *broken) {
		b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
			if g := b.generation(ctx, key); r.Generation > 0 && r.Generation <= g {
				return b.overwrite(ctx, key, r)
			}
			return b.watched.Save(ctx, key, r)
		}
	}},
	{"conflict reported after the save", "save replaces only what was loaded", func(b *broken) {
		b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
			g, err := b.watched.Save(ctx, key, r)
			if err != nil {
				_, _ = b.overwrite(ctx, key, r)
			}
			return g, err
		}
	}},
	{"generations stay", "generations rise", func(b *broken) {
		b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
			_, err := b.watched.Save(ctx, key, r)
			return 7, err
		}
		change(b, func(r *auth.Record) { r.Generation = 7 })
	}},
	{"generations begin again", "generations rise after delete", func(b *broken) {
		b.save = func(ctx context.Context, key auth.Key, r *auth.Record) (uint64, error) {
			if have := b.count[key]; have != r.Generation {
				return 0, auth.ErrConflict
			}
			if _, err := b.overwrite(ctx, key, r); err != nil {
				return 0, err
			}
			b.count[key]++
			return b.count[key], nil
		}
		b.load = func(ctx context.Context, key auth.Key) (*auth.Record, error) {
			r, err := b.watched.Load(ctx, key)
			if err == nil {
				r.Generation = b.count[key]
			}
			return r, err
		}
		b.del = func(ctx context.Context, key auth.Key, g uint64) error {
			b.count[key] = 0
			return b.watched.Delete(ctx, key, b.generation(ctx, key))
		}
	}},
	{"delete ignores the generation", "delete only what was loaded", func(b *broken) {
		b.del = func(ctx context.Context, key auth.Key, _ uint64) error {
			return b.watched.Delete(ctx, key, b.generation(ctx, key))
		}
	}},
	{"delete of generation 0 deletes", "delete only what was loaded", func(b *broken) {
		b.del = func(ctx context.Context, key auth.Key, g uint64) error {
			if g == 0 {
				g = b.generation(ctx, key)
			}
			return b.watched.Delete(ctx, key, g)
		}
	}},
	{"delete does nothing", "delete only what was loaded", func(b *broken) {
		b.del = func(ctx context.Context, key auth.Key, g uint64) error {
			if g != b.generation(ctx, key) {
				return auth.ErrConflict
			}
			return nil
		}
	}},
	{"delete of nothing is an error", "delete of nothing", func(b *broken) {
		b.del = func(ctx context.Context, key auth.Key, g uint64) error {
			if b.generation(ctx, key) == 0 {
				return auth.ErrNotFound
			}
			return b.watched.Delete(ctx, key, g)
		}
	}},
	{"compare, then swap", "one of many creates", func(b *broken) { b.save = b.racySave }},
	{"compare, then swap", "no increment is lost", func(b *broken) { b.save = b.racySave }},
}
