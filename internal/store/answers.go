package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MinuteCount counts the questions of one minute, by how they came out.
type MinuteCount struct {
	Minute                      time.Time // its beginning
	Answered, NoAnswer, Refused int
}

// Load is the round trips of a merchant in the last minute.
type Load struct {
	MID        string
	RoundTrips int
}

// maxRecent bounds the questions that the pages count.
const maxRecent = 300_000

// AnswersByMinute counts the questions of the last hour, at most [maxRecent] of them, and the round
// trips of the last minute.
func (s *Store) AnswersByMinute(ctx context.Context) (minutes []MinuteCount, loads []Load, err error) {
	err = s.readAtOnce(ctx, func(tx pgx.Tx) error {
		first, err := firstSince(ctx, tx, time.Now().Add(-time.Hour-5*time.Minute), "order_queries", "queried_at")
		if err != nil || first == 0 {
			return err
		}
		minutes, err = collectRows[MinuteCount](ctx, tx, `
			SELECT date_trunc('minute', q.queried_at) AS minute,
			       count(*) FILTER (WHERE q.decision NOT IN ('no_answer', 'refused')) AS answered,
			       count(*) FILTER (WHERE q.decision = 'no_answer') AS no_answer,
			       count(*) FILTER (WHERE q.decision = 'refused') AS refused
			FROM (SELECT queried_at, decision FROM order_queries WHERE id >= $1 ORDER BY id DESC LIMIT $2) AS q
			WHERE q.queried_at > date_trunc('minute', now()) - interval '59 minutes' AND q.queried_at <= now()
			GROUP BY 1 ORDER BY 1`, first, maxRecent)
		if err != nil {
			return err
		}
		loads, err = collectRows[Load](ctx, tx, `
			SELECT o.mid, sum(q.round_trips)::int AS round_trips
			FROM (SELECT order_id, queried_at, round_trips FROM order_queries WHERE id >= $1 ORDER BY id DESC LIMIT 20000) AS q
			JOIN orders AS o ON o.id = q.order_id
			WHERE q.queried_at > now() - interval '1 minute'
			GROUP BY o.mid`, first)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("count the latest answers: %w", err)
	}
	return minutes, loads, nil
}

// Answers counts the latest questions of the last hour, at most a thousand.
type Answers struct {
	Questions, Answered int
	P95                 float64    // milliseconds of the answered ones
	Newest              *time.Time // when the latest question began; nil: there is none
	Codes               []CodeCount
}

// CodeCount counts the questions whose last answer had a code; "" is none.
type CodeCount struct {
	Code      string
	Questions int
}

// LatestAnswers counts the latest questions, of all app ids.
func (s *Store) LatestAnswers(ctx context.Context) (Answers, error) {
	const latest = `
		WITH latest AS (
		    SELECT * FROM (SELECT queried_at, duration_ms, decision, err_code FROM order_queries ORDER BY id DESC LIMIT 1000) AS q
		    WHERE q.queried_at > now() - interval '1 hour'
		)`
	var a Answers
	err := s.readAtOnce(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, latest+`
			SELECT count(*), count(*) FILTER (WHERE decision NOT IN ('no_answer', 'refused')),
			       coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE decision NOT IN ('no_answer', 'refused')), 0),
			       max(queried_at)
			FROM latest`).Scan(&a.Questions, &a.Answered, &a.P95, &a.Newest)
		if err == nil {
			a.Codes, err = collectRows[CodeCount](ctx, tx, latest+`
				SELECT coalesce(err_code, '') AS code, count(*) AS questions FROM latest GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20`)
		}
		return err
	})
	if err != nil {
		return Answers{}, fmt.Errorf("read the latest answers: %w", err)
	}
	return a, nil
}
