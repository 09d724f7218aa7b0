package store

import (
	"context"
	"time"
)

// Incident is a row of gateway_incidents: the history of a pause.
type Incident struct {
	ID            int64
	Scope         Scope
	Key           string
	OpenedAt      time.Time
	ClosedAt      *time.Time // nil: it goes on
	Cause         string
	OpenedBy      string // "breaker" or a person
	ClosedBy      string // "": it goes on
	QuestionsLost int64
}

// IncidentFilter narrows a list of incidents. Zero fields do not.
type IncidentFilter struct {
	Since     *time.Time // that had not ended before
	Scope     Scope
	Key       string
	OpenedBy  string
	OnlyOpen  bool
	ForMID    string // those of this merchant and those of ForAppIDs
	ForAppIDs []string
	Limit     int
}

// Incidents lists incidents, the latest first.
func (s *Store) Incidents(ctx context.Context, f IncidentFilter) ([]Incident, error) {
	return lookRows[Incident](ctx, s, "read the incidents", `
		SELECT i.id, i.scope, i.key, i.opened_at, coalesce(i.closed_at, lapsed.at) AS closed_at, i.cause, i.opened_by,
		       coalesce(i.closed_by, CASE WHEN lapsed.at IS NOT NULL THEN i.opened_by END, '') AS closed_by, i.questions_lost
		FROM gateway_incidents AS i
		-- A pause with an end is over then, whether an instance has noticed or not.
		LEFT JOIN LATERAL (
		    SELECT greatest(i.opened_at, c.paused_until) AS at FROM gateway_controls AS c
		    WHERE i.closed_at IS NULL AND i.opened_by <> 'breaker' AND c.scope = i.scope AND c.key = i.key
		      AND c.set_by <> 'breaker' AND c.paused_until <= now()
		) AS lapsed ON true
		WHERE ($1::timestamptz IS NULL OR coalesce(i.closed_at, lapsed.at, now()) >= $1)
		  AND ($2 = '' OR i.scope = $2) AND ($3 = '' OR i.key = $3) AND ($4 = '' OR i.opened_by = $4)
		  AND (NOT $5 OR (i.closed_at IS NULL AND lapsed.at IS NULL))
		  AND ($6 = '' OR (i.scope = 'mid' AND i.key = $6) OR (i.scope = 'app' AND i.key = ANY ($7::text[])))
		ORDER BY i.opened_at DESC, i.id DESC LIMIT $8`,
		f.Since, f.Scope, f.Key, f.OpenedBy, f.OnlyOpen, f.ForMID, f.ForAppIDs, f.Limit)
}
