package filestore

import (
	"strconv"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// generation is that of a record, 0 for none.
func generation(r *auth.Record) uint64 {
	if r == nil {
		return 0
	}
	return r.Generation
}

// firstGeneration is for a record where there is none. It has to be one that
// no process remembers from a record that was there before, or that process
// would go on with a refresh token that is spent. After Delete the file that it
// left tells. After a corrupt file, or when a person removed the file, the
// clock does: in microseconds, it is ahead of any count of saves.
func (s *Store) firstGeneration(key auth.Key) uint64 {
	var last uint64
	if data, _, err := readPrivate(s.path(key, ".gone")); err == nil {
		last, _ = strconv.ParseUint(string(data), 10, 64)
	}
	return max(last+1, uint64(time.Now().UnixMicro()))
}

// bury leaves the generation that is about to be deleted. If the disk is full
// the credential is to be deleted all the same; then the clock has to do.
func (s *Store) bury(key auth.Key, generation uint64) {
	_ = replace(s.path(key, ".gone"), strconv.AppendUint(nil, generation, 10))
}
