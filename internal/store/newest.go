package store

// NewestMigration is the number of the newest migration that this program knows.
func NewestMigration() int64 {
	newest := int64(0)
	for _, m := range knownMigrations() {
		newest = max(newest, m.Version)
	}
	return newest
}
