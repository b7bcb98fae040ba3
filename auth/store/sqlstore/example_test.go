package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/sqlstore"
)

// All processes that share the database share one login, and one of them at a
// time refreshes it. PostgreSQL differs in the driver and the dialect only.
func Example() {
	dir, err := os.MkdirTemp("", "example") // of mode 0700
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// import _ "modernc.org/sqlite"
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "tokens.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()

	ctx := context.Background()
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()
	if err := store.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Subject: "alice", Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = manager.Close() }()
	_ = manager.SetToken(ctx, &auth.Token{AccessToken: "from-a-login", Scopes: []string{"mcp:read"}})

	for entry, err := range store.List(ctx) {
		fmt.Println(entry.Key.Subject, entry.Key.Resource, entry.Scopes, err)
	}
	// Output: alice https://mcp.example/mcp [mcp:read] <nil>
}

// The schema as text, for migrations of the program's own.
func ExampleSchema() {
	text, err := sqlstore.Schema(sqlstore.SQLite, "")
	fmt.Println(text, err)
	// Output:
	// CREATE TABLE IF NOT EXISTS mcptokens (
	// 	id          text    PRIMARY KEY,         -- auth.Key.ID
	// 	generation  integer NOT NULL,            -- stays when the record is deleted
	// 	record      blob    NULL,                -- the record, or NULL where it was deleted
	// 	saved       integer NOT NULL,            -- by the database's clock, in ms since 1970; 0: never
	// 	saved_under text    NOT NULL DEFAULT '', -- the lease under which it was last changed
	// 	lock_holder text    NOT NULL DEFAULT '', -- the lease that is held; empty: none
	// 	lock_until  integer NOT NULL DEFAULT 0   -- when it ends, in ms since 1970
	// );
	//
	// CREATE INDEX IF NOT EXISTS mcptokens_saved ON mcptokens (saved);
	//  <nil>
}
