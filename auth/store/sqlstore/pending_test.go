package sqlstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
	"github.com/mcptokens/mcptokens/internal/webtest"
)

// Web logins that nobody ends take less than 2 KiB each in the table, with the links
// that led to them, and nothing is left of them when they have expired but numbers.
func TestPendingLogins(t *testing.T) {
	t.Parallel()
	const logins = 1000
	d := newSQLite(t)
	synctest.Test(t, func(t *testing.T) {
		db := d.pool(t)
		s := d.on(t, db, sqlstore.WithPoll(time.Minute)) // fake time is long
		defer webtest.Begin(t, s, logins)()
		size := func() (rows, bytes, largest int) {
			err := db.QueryRowContext(t.Context(), `SELECT count(*), coalesce(sum(length(record)), 0), coalesce(max(length(record)), 0) FROM mcptokens WHERE length(record) > 0`).Scan(&rows, &bytes, &largest)
			if err != nil {
				t.Fatal(err)
			}
			return rows, bytes, largest
		}
		rows, bytes, largest := size()
		if rows < 2*logins || largest >= 2<<10 {
			t.Errorf("%d rows, the largest has %d bytes", rows, largest)
		}
		t.Logf("%d rows, %d bytes for a login and its link", rows, bytes/logins)
		time.Sleep(10*time.Minute + 2*time.Second)
		synctest.Wait()
		if rows, _, _ := size(); rows > 1 { // the client that they share
			t.Errorf("%d rows are left", rows)
		}
	})
}
