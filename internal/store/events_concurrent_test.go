package store_test

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/postgres"
	"reconciler/internal/store/storetest"
)

const insertEvent = `INSERT INTO order_events (order_id, mid, event, payload) VALUES ($1, '898340149000005', 'order.paid', '{}') RETURNING id`

// writeEvents writes events in transactions of different lengths. Each third one is rolled back. It
// returns what was committed.
func writeEvents(t *testing.T, url string, seed uint64, transactions int) []int64 {
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer conn.Close(context.Background())
	random := rand.New(rand.NewPCG(seed, 0))
	var committed []int64
	for n := range transactions {
		var ids []int64
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			for range 1 + random.IntN(4) {
				var id int64
				if err := tx.QueryRow(t.Context(), insertEvent, n).Scan(&id); err != nil {
					return err
				}
				ids = append(ids, id)
			}
			if n%3 == 2 {
				ids = nil
				_, err := tx.Exec(t.Context(), `SELECT 1/0`)
				return err
			}
			return nil
		})
		if err != nil && n%3 != 2 {
			t.Error(err)
		}
		committed = append(committed, ids...)
	}
	return committed
}

// readEvents reads and acknowledges, in transactions of its own, until done says that nothing more
// is coming and nothing is left.
func readEvents(t *testing.T, url, consumer string, most int, done func(read int) bool) []event {
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer conn.Close(context.Background())
	var read []event
	for deadline := time.Now().Add(time.Minute); !done(len(read)); {
		if time.Now().After(deadline) {
			t.Errorf("%s: a minute is over, %d events read", consumer, len(read))
			return read
		}
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			rows, err := tx.Query(t.Context(), `SELECT xact::text, id, order_id FROM next_order_events($1, $2)`, consumer, most)
			if err != nil {
				return err
			}
			batch, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event])
			if err != nil || len(batch) == 0 {
				return err
			}
			last := batch[len(batch)-1]
			read = append(read, batch...)
			_, err = tx.Exec(t.Context(), `SELECT ack_order_events($1, $2::text::xid8, $3)`, consumer, last.Xact, last.ID)
			return err
		})
		if err != nil {
			t.Error(err)
			return read
		}
	}
	return read
}

// Two consumers that begin in the middle of it read each committed event once, in one order.
func TestConsumersAmongConcurrentWriters(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, consumer := range []string{"slow", "fast"} {
		d.exec(t, `SELECT register_order_events($1, true)`, consumer)
	}
	var mu sync.Mutex
	var committed []int64
	var writers, readers sync.WaitGroup
	for seed := range uint64(4) {
		writers.Go(func() {
			ids := writeEvents(t, d.url, seed, 60)
			mu.Lock()
			defer mu.Unlock()
			committed = append(committed, ids...)
		})
	}
	ended := make(chan struct{})
	go func() { writers.Wait(); close(ended) }()
	done := func(read int) bool {
		select {
		case <-ended:
			return read >= len(committed)
		default:
			return false
		}
	}
	var slow, fast []event
	readers.Go(func() { slow = readEvents(t, d.url, "slow", 3, done) })
	readers.Go(func() { fast = readEvents(t, d.url, "fast", 100, done) })
	readers.Wait()
	<-ended
	if !slices.Equal(slow, fast) {
		t.Error("two consumers read other events, or in another order")
	}
	ids := make([]int64, 0, len(fast))
	for _, e := range fast {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	slices.Sort(committed)
	if !slices.Equal(ids, committed) {
		t.Errorf("%d events were read, want each of the %d committed once", len(ids), len(committed))
	}
}

// scratchCluster is a migrated database in a cluster of its own, for its transaction numbers or for
// settings of the whole server.
func scratchCluster(t *testing.T, settings ...string) database {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server of its own")
	}
	server, err := postgres.Start(t.Context(), postgres.Options{Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := server.URL("postgres")
	s := storetest.Open(t, url)
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return database{Store: s, url: url, conn: storetest.Connect(t, url)}
}

// burn spends transaction numbers.
func (d database) burn(t *testing.T, n int) {
	t.Helper()
	for range n {
		d.exec(t, `SELECT pg_current_xact_id()`)
	}
}

// openTransaction does something in a transaction that stays open until it is committed.
func (d database) openTransaction(t *testing.T, sql string) (commit func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `BEGIN; `+sql); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
			t.Fatal(err)
		}
	}
}

// restoreInto copies events, cursors and the number of the next event, as a restore of the data
// alone does.
func (d database) restoreInto(t *testing.T, to database, tables ...string) {
	t.Helper()
	for _, table := range tables {
		reader, writer := io.Pipe()
		go func() {
			_, err := d.conn.PgConn().CopyTo(context.Background(), writer, `COPY `+table+` TO STDOUT`)
			writer.CloseWithError(err)
		}()
		if _, err := to.conn.PgConn().CopyFrom(t.Context(), reader, `COPY `+table+` FROM STDIN`); err != nil {
			t.Fatal(err)
		}
	}
	to.exec(t, `SELECT setval(pg_get_serial_sequence('order_events', 'id'), $1)`,
		scan[int64](t, d, `SELECT last_value FROM pg_sequences WHERE sequencename = 'order_events_id_seq'`))
}

// A cluster that is restored into can be far behind in its transaction numbers. It catches up while
// nobody reads. Whatever the order in which the tables were copied, no event is lost and those of
// one order stay in order.
func TestRestoreIntoAnotherCluster(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tables []string
		old    bool // an old transaction is open in the new cluster
	}{
		"cursors first":         {[]string{"event_consumers", "order_events"}, false},
		"events first":          {[]string{"order_events", "event_consumers"}, false},
		"beside an old session": {[]string{"event_consumers", "order_events"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := scratchCluster(t), scratchCluster(t)
			end := func() {}
			if tt.old {
				to.burn(t, 50)
				end = to.openTransaction(t, `SELECT pg_current_xact_id()`)
			}
			to.burn(t, 100)
			commit := from.openTransaction(t, `INSERT INTO order_events (order_id, mid, event, payload) VALUES (7, 'any', 'order.paid', '{}')`)
			from.burn(t, 100)
			for _, consumer := range []string{"all read", "half read", "none read"} {
				from.exec(t, `SELECT register_order_events($1, false)`, consumer)
			}
			commit()
			from.burn(t, 100)
			from.tell(t, 1)
			from.tell(t, 2)
			events := from.wantNext(t, "all read", 7, 1, 2)
			from.ack(t, "all read", events[2])
			from.ack(t, "half read", events[1])
			from.restoreInto(t, to, tt.tables...)
			// Nobody reads for longer than the restored events lie ahead.
			to.tell(t, 2)
			to.burn(t, 300)
			to.tell(t, 3)
			end()
			inOrder(t, to.wantAll(t, "all read", 2, 3))
			inOrder(t, to.wantAll(t, "half read", 2, 2, 3))
			inOrder(t, to.wantAll(t, "none read", 7, 1, 2, 2, 3))
			if got := to.next(t, "all read", 100); len(got) != 2 {
				t.Errorf("who had read all reads %v again", got)
			}
		})
	}
}

// inOrder checks that a consumer reads older events first.
func inOrder(t *testing.T, events []event) {
	t.Helper()
	if !slices.IsSortedFunc(events, func(a, b event) int { return cmp.Compare(a.ID, b.ID) }) {
		t.Errorf("events come as %v", events)
	}
}

// However many events there are, neither a read nor a write walks over them.
func TestEventsAreReadByTheirIndex(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `SELECT register_order_events('shop', true)`)
	d.exec(t, `INSERT INTO order_events (order_id, mid, event, payload) SELECT 1, 'any', 'order.paid', '{}' FROM generate_series(1, 20000)`)
	d.exec(t, `ANALYZE order_events`)
	looked := func() int {
		return scan[int](t, d, `SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = 'order_events'`)
	}
	d.exec(t, `BEGIN`)
	before := looked()
	for range 10 { // after five, the server may keep a plan for all values
		d.tell(t, 1)
		d.next(t, "shop", 10)
	}
	if read := looked() - before; read > 1000 {
		t.Errorf("ten writes and reads looked at %d events", read)
	}
}
