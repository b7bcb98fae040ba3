package redisstore

import "github.com/redis/go-redis/v9"

// The fields of a record's hash:
//
//	g   generation; it stays when the record is deleted
//	d   the record; not there: deleted
//	t   when it was saved, by the server's clock: seconds since 1970
//	op  nonce of the save that wrote it
//	by  nonce of the lease under which it was last changed, or empty
//
// Scripts change them as one. PUBLISH goes through pcall: a hint that cannot be
// sent, because a permission is missing for instance, must not fail what is done
// already.

// loadScript reads: KEYS rec. A script and not HMGET, because a cluster client
// may send a plain read to a replica, and a record that is out of date has a
// spent refresh token.
var loadScript = redis.NewScript(`return redis.call('HMGET', KEYS[1], 'g', 'd', 't')`)

// fenced is true for a saver whose lease is no longer in force, if the
// record has changed since it was taken and the change was not its own. Then
// not even a saver that has read the newer record may replace it.
const fenced = `
local function fenced(lock, nonce, since, g, by)
  return nonce ~= '' and redis.call('GET', lock) ~= nonce and by ~= nonce and g ~= since
end
`

// saveScript replaces: KEYS rec, lock; ARGV expected generation, record, TTL in
// ms, nonce of this save, nonce of the lease or empty, generation at the time
// the lease was taken, first generation, channel, hint. It returns the new
// generation, or false for a conflict.
//
// The first generation is the wall clock's microseconds: should the server
// forget everything, no generation comes twice, with which another process
// could take the record for the one that it knows.
var saveScript = redis.NewScript(fenced + `
local h = redis.call('HMGET', KEYS[1], 'g', 'd', 'op', 'by')
local g = h[1] or '0'
if h[3] == ARGV[4] then return g end -- sent again: it is done
local have = h[2] and g or '0'
if have ~= ARGV[1] or fenced(KEYS[2], ARGV[5], ARGV[6], g, h[4]) then return false end
if tonumber(h[1] or '') then redis.call('HINCRBY', KEYS[1], 'g', 1) else redis.call('HSET', KEYS[1], 'g', ARGV[7]) end
redis.call('HSET', KEYS[1], 'd', ARGV[2], 't', redis.call('TIME')[1], 'op', ARGV[4], 'by', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.pcall('PUBLISH', ARGV[8], ARGV[9])
return redis.call('HGET', KEYS[1], 'g')
`)

// deleteScript removes: KEYS rec, lock; ARGV expected generation, TTL in ms,
// nonce of the lease or empty, generation at the time the lease was taken,
// channel, hint. It returns 1, or 0 for a conflict.
var deleteScript = redis.NewScript(fenced + `
local h = redis.call('HMGET', KEYS[1], 'g', 'd', 'by')
if not h[2] then return 1 end
if h[1] ~= ARGV[1] or fenced(KEYS[2], ARGV[3], ARGV[4], h[1], h[3]) then return 0 end
redis.call('HINCRBY', KEYS[1], 'g', 1)
redis.call('HDEL', KEYS[1], 'd', 't', 'op')
redis.call('HSET', KEYS[1], 'by', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.pcall('PUBLISH', ARGV[5], ARGV[6])
return 1
`)

// takeScript takes a lease that is free, or ours already because this was sent
// before: KEYS lock, rec; ARGV nonce, lease in ms. It returns the generation of
// the record, or, when another process holds it, the milliseconds left as a
// number.
var takeScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return redis.call('PTTL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('HGET', KEYS[2], 'g') or '0'
`)

// renewScript extends a lease that is still ours: KEYS lock; ARGV nonce, lease
// in ms. It returns 0 if it is not; it does not take it again, since it may
// come late, after our own release.
var renewScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

// releaseScript ends a lease if it is ours: KEYS lock; ARGV nonce, channel,
// hint.
var releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', ARGV[2], ARGV[3])
return 1
`)
