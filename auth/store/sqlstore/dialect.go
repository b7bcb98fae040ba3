package sqlstore

import (
	"regexp"
	"strings"

	"github.com/mcptokens/mcptokens/internal/errtext"
)

// Dialect is a kind of database.
type Dialect string

// The dialects.
const (
	// PostgreSQL is version 9.5 or later, and what speaks as it does.
	PostgreSQL Dialect = "PostgreSQL"
	// SQLite is version 3.35 or later.
	SQLite Dialect = "SQLite"
)

// defaultTable is that of [WithTable].
const defaultTable = "mcptokens"

var (
	errDialect = errtext.New("sqlstore: dialect: must be sqlstore.PostgreSQL or sqlstore.SQLite")
	errTable   = errtext.New("sqlstore: table: must be a lower case name of at most 50 letters, digits and underscores; in PostgreSQL a schema and a dot may be before it")
)

var (
	plainName     = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,49}$`)
	qualifiedName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,49}\.)?[a-z_][a-z0-9_]{0,49}$`)
)

// check says what is wrong with a table's name.
func (d Dialect) check(table string) error {
	switch {
	case d != PostgreSQL && d != SQLite:
		return errDialect
	case d == PostgreSQL && !qualifiedName.MatchString(table), d == SQLite && !plainName.MatchString(table):
		return errTable
	}
	return nil
}

// Schema returns the statements that make the table and its index, each ended by
// a semicolon, for the program's own migrations. They change nothing where
// both are there. An empty table means mcptokens. Errors: one about dialect or
// table.
func Schema(dialect Dialect, table string) (string, error) {
	if table == "" {
		table = defaultTable
	}
	if err := dialect.check(table); err != nil {
		return "", err
	}
	return strings.Join(dialect.schema(table), ";\n\n") + ";\n", nil
}

func (d Dialect) schema(table string) []string {
	blob, number := "bytea  ", "bigint " // padded: people read it
	if d == SQLite {
		blob, number = "blob   ", "integer"
	}
	index := table[strings.LastIndexByte(table, '.')+1:] + "_saved"
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + table + ` (
	id          text    PRIMARY KEY,         -- auth.Key.ID
	generation  ` + number + ` NOT NULL,            -- stays when the record is deleted
	record      ` + blob + ` NULL,                -- the record, or NULL where it was deleted
	saved       ` + number + ` NOT NULL,            -- by the database's clock, in ms since 1970; 0: never
	saved_under text    NOT NULL DEFAULT '', -- the lease under which it was last changed
	lock_holder text    NOT NULL DEFAULT '', -- the lease that is held; empty: none
	lock_until  ` + number + ` NOT NULL DEFAULT 0   -- when it ends, in ms since 1970
)`,
		`CREATE INDEX IF NOT EXISTS ` + index + ` ON ` + table + ` (saved)`,
	}
}

// statements are the store's. Their parameters are numbered.
type statements struct {
	load, create, replace, delete, exists string
	overwrite                             string
	take, left, renew, release            string
	changed, page, probe                  string
}

// unfenced is true for a saver that holds no lease (holder is empty), or one
// that is in force, or whose lease is not but who alone has changed the record
// since it was taken, when its generation was since. Otherwise not even a saver
// that has read the newer record may replace it.
func unfenced(holder, since string) string {
	return strings.NewReplacer("H", holder, "S", since).Replace(`(H = '' OR c.lock_holder = H OR c.saved_under = H OR c.generation = S)`)
}

// statements returns those for a table.
func (d Dialect) statements(table string) *statements {
	now := `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
	if d == SQLite {
		now = `CAST((julianday('now') - 2440587.5) * 86400000 AS integer)`
	}
	s := func(text string) string {
		text = strings.NewReplacer("TABLE", table, "NOW", now).Replace(text)
		if d == SQLite { // $1 is a name there, ?1 a number
			text = strings.ReplaceAll(text, "$", "?")
		}
		return text
	}
	return &statements{
		load: s(`SELECT generation, record, saved FROM TABLE WHERE id = $1 AND record IS NOT NULL`),
		// A first generation is the wall clock's microseconds: should the table be
		// emptied, none comes twice, with which another process could take the
		// record for the one that it knows.
		create: s(`INSERT INTO TABLE AS c (id, generation, record, saved, saved_under) VALUES ($1, $2, $5, NOW, $3)
ON CONFLICT (id) DO UPDATE SET
	generation = CASE WHEN c.generation < excluded.generation THEN excluded.generation ELSE c.generation + 1 END,
	record = excluded.record, saved = excluded.saved, saved_under = excluded.saved_under
WHERE c.record IS NULL AND ` + unfenced("$3", "$4") + `
RETURNING generation`),
		replace: s(`UPDATE TABLE AS c SET generation = generation + 1, record = $5, saved = NOW, saved_under = $3
WHERE id = $1 AND generation = $2 AND record IS NOT NULL AND ` + unfenced("$3", "$4") + `
RETURNING generation`),
		// In place of what is no record, whose number may be none either.
		overwrite: s(`UPDATE TABLE AS c SET generation = CASE WHEN generation > 0 THEN generation ELSE 0 END + 1, record = $5, saved = NOW, saved_under = $3
WHERE id = $1 AND generation = $2 AND record IS NOT NULL AND ` + unfenced("$3", "$4") + `
RETURNING generation`),
		delete: s(`UPDATE TABLE AS c SET generation = generation + 1, record = NULL, saved = NOW, saved_under = $3
WHERE id = $1 AND generation = $2 AND record IS NOT NULL AND ` + unfenced("$3", "$4") + `
RETURNING generation`),
		exists: s(`SELECT generation FROM TABLE WHERE id = $1 AND record IS NOT NULL`),

		take: s(`INSERT INTO TABLE AS c (id, generation, saved, lock_holder, lock_until) VALUES ($1, 0, 0, $2, NOW + $3)
ON CONFLICT (id) DO UPDATE SET lock_holder = excluded.lock_holder, lock_until = excluded.lock_until
WHERE c.lock_holder = '' OR c.lock_until <= NOW OR c.lock_holder = excluded.lock_holder
RETURNING generation`),
		left: s(`SELECT lock_until - NOW FROM TABLE WHERE id = $1`),
		// One that ran out and that nobody has taken since is good again.
		renew:   s(`UPDATE TABLE SET lock_until = NOW + $3 WHERE id = $1 AND lock_holder = $2`),
		release: s(`UPDATE TABLE SET lock_holder = '', lock_until = 0 WHERE id = $1 AND lock_holder = $2`),

		changed: s(`SELECT id, generation FROM TABLE WHERE saved >= NOW - $1`),
		page:    s(`SELECT id, generation, record, saved FROM TABLE WHERE id > $1 AND record IS NOT NULL ORDER BY id LIMIT 200`),
		probe:   s(`INSERT INTO TABLE (id, generation, record, saved) VALUES ($1, 0, $2, 0)`),
	}
}
