// Package sqlstore keeps tokens in PostgreSQL or SQLite through database/sql,
// for programs that have a database and want no second server:
//
//	db, err := sql.Open("pgx", "postgres://…") // any driver
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//	defer store.Close()
//	err = store.Migrate(ctx) // or apply Schema with your own migrations
//	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Store: store})
//
// The driver is the program's, and the *sql.DB stays its own to close, after the
// store. Each operation is one statement, or two, and holds no connection
// afterwards: locks and hints need none, so any pool will do, of one connection
// too, and so does a pooler between, such as PgBouncer, in any of its modes.
//
// # What is stored
//
// One table, mcptokens unless [WithTable] says otherwise; see [Schema]. A row is
// a credential: id is [auth.Key.ID], record is what [store.Encode] writes, not
// encrypted (package sealed does that). A deleted record leaves its row with its
// generation and nothing else; remove such rows and those of credentials that
// nobody uses, as you like, for example once a day:
//
//	DELETE FROM mcptokens WHERE saved < (extract(epoch FROM now()) - 90 * 86400) * 1000;
//
// The program's user needs SELECT, INSERT, UPDATE and DELETE on the table.
//
// # What holds when things go wrong
//
// The generation decides about each save in its own statement: nothing that
// another process wrote is overwritten unseen. Isolation levels from READ COMMITTED
// on will do. PostgreSQL may answer above that with a serialization failure,
// which is tried again.
//
// The lock is a lease of 5 s ([WithLease]) in the row, which its holder renews
// while it lives, counted by the database's clock. It is no advisory lock, which
// would hold a connection for each refresh under way and mean nothing behind a
// pooler. A process that is killed holds the others up for 5 s. One that was
// suspended for longer finds out by its own clock ([Store.Held]) that it lost the
// lease and then sends no refresh token; if it has sent one before, it can
// still save what it got unless another process has written since it took the lease.
//
// With asynchronous replication a failover can lose a token that was saved just
// before; use synchronous_commit with a synchronous standby where that matters.
//
// # Hints
//
// While somebody watches, one goroutine looks every half second ([WithPoll]) for
// rows that were saved since: one query for all watchers of a store. LISTEN would
// need a connection of its own and the driver's interface beside database/sql's.
//
// # SQLite
//
// Version 3.35 or later. Several processes of a machine can share a file. Have
// the driver wait for locks and use the write-ahead log, and do not put the file
// on a network file system. With modernc.org/sqlite:
//
//	file:tokens.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)
//
// The file should be in a directory of mode 0700. A database in memory is one
// for each connection: use [auth.MemoryStore] instead.
package sqlstore
