// Package sealed encrypts what any store keeps, so that whoever reads or copies
// its files, its database or its backups gets no token:
//
//	key, err := sealed.NewKey("2026-11", secret) // 32 random bytes
//	store, err := sealed.New(redisstore.New(client), key)
//	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Store: store})
//
// # What is stored
//
// Each record becomes one of the store below that holds nothing but sealed
// bytes: the version of the format, the ID of the key, a random nonce, and the
// record as [store.Encode] writes it, encrypted with AES-256-GCM. Its key there
// is {Subject: "sealed ID"}, where ID is [auth.Key.ID], so neither users nor
// servers can be read from it. What shows is how many records there are, how
// long they are and when they change.
//
// The key's ID, the key of the record and its generation are authenticated with
// it. So a record does not open if it was changed, put in another's place, or
// taken from a backup and given the number of the present one. What sealing
// alone cannot see is a store that goes back in time as a whole, numbers and
// all. A process that knows the newer record notices that by its generation and
// stores it again; one that has just started does not.
//
// What cannot be opened is an *[Error], which is permanent: it is neither used
// nor overwritten until a person does something.
//
// # Changing the key
//
// Give the new key first and the old ones after it, to all processes: first as
// an older key everywhere, then as the one that seals. Each record is sealed
// with the new key when it is next saved, at the latest when its token is refreshed. Leave
// an old key out once [auth.Lister.List] finds everything without it. With random
// nonces one key should seal no more than 2^32 records, which takes a thousand
// saves a second for 50 days.
//
// # The store below
//
// Generations, locks, hints, probes and lists are those of the store below,
// which stays the caller's to close. It has to count each save of a record by
// one, as [auth.Store] says. The first save of a record is two of the store
// below: one that reserves the number and holds nothing, and the record.
package sealed
