package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// bareGroup is how many answers the bare writer writes in one transaction.
const bareGroup = 500

// writeBare is no peer but the limit: it writes, on one connection, what the product writes, and
// does nothing else. It asks about one order and writes that answer into all of them.
func (p *peer) writeBare(ctx context.Context, events bool) (summary, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return summary{}, err
	}
	defer conn.Release()
	groups, err := p.makeAnswers(ctx, conn.Conn())
	if err != nil {
		return summary{}, err
	}
	began := time.Now()
	for _, group := range groups {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return writeGroup(ctx, tx, group, events) })
		if err != nil {
			return summary{}, fmt.Errorf("write: %w", err)
		}
	}
	return summary{Settled: p.orders, Seconds: time.Since(began).Seconds()}, nil
}

// makeAnswers makes the groups.
func (p *peer) makeAnswers(ctx context.Context, conn *pgx.Conn) ([][]answered, error) {
	rows, err := conn.Query(ctx, "SELECT id, mid, tid, inst_mid, mer_order_id, order_amount FROM orders ORDER BY next_query_at, id")
	if err != nil {
		return nil, fmt.Errorf("select orders: %w", err)
	}
	orders, err := pgx.CollectRows(rows, pgx.RowToStructByName[order])
	if err != nil {
		return nil, fmt.Errorf("select orders: %w", err)
	}
	model, err := p.askGateway(ctx, orders[0])
	if err != nil {
		return nil, err
	}
	var groups [][]answered
	for i, o := range orders {
		if i%bareGroup == 0 {
			groups = append(groups, nil)
		}
		a := *model
		a.order = o
		last := &groups[len(groups)-1]
		*last = append(*last, a)
	}
	return groups, nil
}

func writeGroup(ctx context.Context, tx pgx.Tx, group []answered, events bool) error {
	columns := append(settlementColumns(), questionColumns()[0]) // and the id
	_, err := tx.Exec(ctx, `
		UPDATE orders AS o SET `+listOf(settlementColumns(), "%[2]s = r.%[2]s")+`, next_query_at = NULL, lease_until = NULL, updated_at = now()
		FROM (SELECT `+listOf(columns, sideBySide)+`) AS r
		WHERE o.id = r.order_id AND o.status = 'UNKNOWN'`, columnArrays(columns, group)...)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(insertMany("order_queries", questionColumns()), columnArrays(questionColumns(), group)...)
	if events {
		batch.Queue(insertMany("order_events", eventColumns()), columnArrays(eventColumns(), group)...)
		batch.Queue("NOTIFY order_events")
	}
	return tx.SendBatch(ctx, batch).Close()
}

// sideBySide reads arrays in a list of results: in FROM each would be stored on its own first.
const sideBySide = "unnest($%[1]d::%[4]s[])::%[3]s AS %[2]s"

func insertMany(table string, columns []column) string {
	return "INSERT INTO " + table + " (" + listOf(columns, "%[2]s") + ") SELECT " + listOf(columns, sideBySide)
}
