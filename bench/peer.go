package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"reconciler/internal/chinaums"
)

// order is what a question and its answer need of a row.
type order struct {
	ID          int64
	MID         string
	TID         string
	InstMID     string
	MerOrderID  string
	OrderAmount int64
}

// summary is what a contestant prints at its end, in the product's words.
type summary struct {
	Settled int     `json:"settled"`
	Seconds float64 `json:"duration_seconds"`
}

// peer is what the peers have in common.
type peer struct {
	pool        *pgxpool.Pool
	gateway     *chinaums.Client
	concurrency int // questions in flight
	orders      int
	update      string
	insert      string
	tell        string

	withoutEvents bool // of the rows that the product writes
}

// withoutEvents is the end of a peer's kind that does less than the product.
const withoutEvents = "-without-events"

// peerCommand is `bench peer KIND`, the process of a peer.
func peerCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("peer: which one?")
	}
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	database := flags.String("database", "", "`URL`")
	gateway := flags.String("gateway", "", "`URL`")
	p := &peer{}
	flags.IntVar(&p.concurrency, "concurrency", 64, "questions in flight")
	flags.IntVar(&p.orders, "orders", 0, "how many there are")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if err := p.openPeer(ctx, *database, *gateway); err != nil {
		return err
	}
	defer p.pool.Close()
	defer p.gateway.Close()
	result, err := p.runPeer(ctx, args[0])
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return json.NewEncoder(stdout).Encode(result)
}

func (p *peer) runPeer(ctx context.Context, kind string) (summary, error) {
	kind, p.withoutEvents = strings.CutSuffix(kind, withoutEvents)
	switch kind {
	case "loop":
		return p.runLoop(ctx)
	case "river":
		return p.runRiver(ctx, false)
	case "river-tx":
		return p.runRiver(ctx, true)
	case "bare":
		return p.writeBare(ctx, false)
	case "bare-events":
		return p.writeBare(ctx, true)
	}
	return summary{}, errors.New("there is no such peer")
}

// connections of a peer's pool. Of 8, 16, 32 and 64, 8 serve the loop and River best on two cores,
// by little.
const connections = 8

func (p *peer) openPeer(ctx context.Context, database, gateway string) error {
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	config.MaxConns = connections
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if p.gateway, err = newClient(gateway, p.concurrency); err != nil {
		return err
	}
	columns := settlementColumns()
	p.update = "UPDATE orders SET " + listOf(columns, "%[2]s = $%[1]d") + `,
		next_query_at = NULL, lease_until = NULL, claimed_by = NULL, last_error = NULL, updated_at = now()
		WHERE id = $` + fmt.Sprint(len(columns)+1) + " AND status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')"
	p.insert = insertOne("order_queries", questionColumns())
	p.tell = insertOne("order_events", eventColumns())
	return nil
}

// askGateway puts the question. The peers meet no other answer than paid, and stop at the first.
func (p *peer) askGateway(ctx context.Context, o order) (*answered, error) {
	a := &answered{order: o, at: time.Now(), worker: "peer"}
	answer, err := p.gateway.Query(ctx, chinaums.Request{MID: o.MID, TID: o.TID, InstMID: o.InstMID, MerOrderID: o.MerOrderID})
	if err != nil {
		return nil, fmt.Errorf("ask about order %d: %w", o.ID, err)
	}
	t := answer.Trade
	if t.Status.Value != chinaums.StatusTradeSuccess || t.MID.Value != o.MID || t.MerOrderID.Value != o.MerOrderID || t.TotalAmount.Value != o.OrderAmount {
		return nil, fmt.Errorf("order %d: not an answer to settle by: %s", o.ID, answer.Redacted)
	}
	a.took, a.answer, a.response = time.Since(a.at), answer, string(answer.Redacted)
	return a, nil
}

func insertOne(table string, columns []column) string {
	return "INSERT INTO " + table + " (" + listOf(columns, "%[2]s") + ") VALUES (" + listOf(columns, "$%[1]d") + ")"
}

// bookOrder writes what the product writes of an answer: the order, its row in the ledger and the
// event. It notifies nobody, which the product does once a group: a NOTIFY in each transaction
// would let them commit only one after the other.
func (p *peer) bookOrder(ctx context.Context, tx pgx.Tx, a *answered) error {
	tag, err := tx.Exec(ctx, p.update, append(countOnes(settlementColumns(), a), a.order.ID)...)
	if err != nil {
		return fmt.Errorf("update order %d: %w", a.order.ID, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("order %d was settled by somebody else", a.order.ID)
	}
	if _, err := tx.Exec(ctx, p.insert, countOnes(questionColumns(), a)...); err != nil {
		return fmt.Errorf("insert the question about order %d: %w", a.order.ID, err)
	}
	if p.withoutEvents {
		return nil
	}
	if _, err := tx.Exec(ctx, p.tell, countOnes(eventColumns(), a)...); err != nil {
		return fmt.Errorf("insert the event of order %d: %w", a.order.ID, err)
	}
	return nil
}
