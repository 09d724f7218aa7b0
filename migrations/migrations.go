// Package migrations holds the schema as numbered goose files. They live here,
// beside their .sql, because an embed pattern cannot reach a parent folder. A
// file is never edited after a release: a change of the schema is a new file.
package migrations

import "embed"

// FS holds the .sql files, in order of their numbers.
//
//go:embed *.sql
var FS embed.FS
