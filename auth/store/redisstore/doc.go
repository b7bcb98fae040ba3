// Package redisstore keeps tokens in Redis or Valkey, for programs that run as
// several processes or on several machines and share one login:
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	store := redisstore.New(client)
//	defer store.Close()
//	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Store: store})
//
// Any redis.UniversalClient of go-redis will do: a single server, Sentinel, a
// cluster. The client stays the caller's to close. Redis 5 or later is needed.
//
// # What is stored
//
// Each credential has two keys, which share a hash tag and so a cluster slot:
//
//	mcptokens:{ID}:rec    hash: the record as [store.Encode] writes it, and its
//	                      generation
//	mcptokens:{ID}:lock   the lease of the process that refreshes
//
// ID is [auth.Key.ID]. The record is readable by all who can read from the
// server; package sealed encrypts it. A record that nobody has saved for 90 days ([WithTTL])
// goes away. What is left of a deleted record, its generation, does so too. A
// user of the server's ACL needs ~mcptokens:*, &mcptokens:* and the commands
// EVAL, EVALSHA, SUBSCRIBE, PUBLISH, HMGET, HGET, HSET, HDEL, HINCRBY, GET, SET,
// DEL, PEXPIRE, PTTL, TIME, SCAN and PING.
//
// # What holds when things go wrong
//
// The generation decides about each save, by a script: nothing that another
// process wrote is overwritten unseen. A request that go-redis sends again, since
// its answer was lost, is recognised and not taken for a conflict.
//
// The lock is a lease of 5 s ([WithLease]) that its holder renews while it
// lives. It ends by itself when its holder dies, so a process that is killed
// holds the others up for 5 s. A holder can also lose it alive: suspended for
// longer, or cut off from Redis. It finds that out by its own clock
// ([Store.Held]), and then sends no refresh token. If it has sent one before,
// it can still save the token that it got if nobody has written since it took
// the lease: that is the only copy. If somebody has, its saves and deletions fail
// with [auth.ErrConflict], even when it has read the newer record meanwhile,
// until it takes the lock again. The process that took its place has sent the same
// refresh token then, as after a crash, and a server without a grace period takes that
// for theft and wants a login.
//
// Redis forgetting everything, or evicting a key because memory is full, cannot
// be told from a logout by another process, and is taken for one: see [auth.Store].
// Use maxmemory-policy noeviction, with which a full memory is found by the lock.
//
// Leases are counted by the server's clock. A wrong clock of a process has no
// part in who may refresh or save; it decides only when that process thinks that
// it is time. A token of one whose clock is a day ahead looks fresh to the others
// for a day too long; the MCP server's 401 puts that right.
//
// Redis answers before its data is on disk or with a replica. A token that was
// saved just before a crash or a failover may be lost with it: use
// appendonly yes, and min-replicas-to-write if there are replicas.
//
// Other processes hear of a change at once through the channel
// mcptokens:hints. Nothing depends on it: a waiter for a lock tries again by
// itself, and a record is always read from the primary before it is used.
package redisstore
