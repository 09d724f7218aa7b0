package store

import (
	"context"
	"fmt"
	"time"
)

// MerchantStats tells a claimer about the merchants whose orders are queued.
type MerchantStats struct {
	Merchants int      // how many have open orders, due or not; 2 stands for more as well
	Paused    []string // merchants that may not be asked for now
	// Took is the server's time for the count: no network is in it.
	Took time.Duration
}

// MerchantStats steps from merchant to merchant through their index.
func (s *Store) MerchantStats(ctx context.Context) (MerchantStats, error) {
	var c MerchantStats
	err := s.pool.QueryRow(ctx, `
		WITH RECURSIVE `+walkBehind("''")+`
		SELECT (SELECT count(mid) FROM (SELECT mid FROM walk LIMIT 2) AS head),
		       ARRAY(SELECT c.key FROM gateway_controls AS c WHERE c.scope = 'mid' AND `+inForce+`),
		       clock_timestamp() - statement_timestamp()`).Scan(&c.Merchants, &c.Paused, &c.Took)
	if err != nil {
		return MerchantStats{}, fmt.Errorf("read who is queued: %w", err)
	}
	return c, nil
}
