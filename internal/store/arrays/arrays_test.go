package arrays_test

import (
	"context"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store/arrays"
)

func TestMain(m *testing.M) {
	os.Exit(postgrestest.Main(m, func(context.Context, string) error { return nil }))
}

type row struct {
	N     int64
	Maybe *int64
	Word  string
	Empty string // null where it is empty
	Yes   bool
	At    time.Time
}

func columns() []arrays.Column[row] {
	return []arrays.Column[row]{
		arrays.NewColumn("n", arrays.Bigint(), func(r *row) int64 { return r.N }),
		arrays.NewColumn("maybe", arrays.Nullable(arrays.Bigint()), func(r *row) *int64 { return r.Maybe }).As("numeric"),
		arrays.NewColumn("word", arrays.Bytes(), func(r *row) []byte { return []byte(r.Word) }),
		arrays.NewColumn("empty", arrays.EmptyIsNull(arrays.Text()), func(r *row) string { return r.Empty }),
		arrays.NewColumn("yes", arrays.Boolean(), func(r *row) bool { return r.Yes }),
		arrays.NewColumn("at", arrays.Timestamptz(), func(r *row) time.Time { return r.At }),
	}
}

// read is a row as the server has it.
type read struct {
	N     int64
	Maybe *int64
	Word  string
	Empty *string
	Yes   bool
	At    time.Time
}

// Whatever is sent is what the server has, however many rows there are, and in each way to run it.
func TestRowsArrive(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), postgrestest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	at := time.Date(2026, 2, 28, 23, 59, 59, 999_999_000, time.UTC)
	rows := []row{
		{N: math.MinInt64, Word: "", Empty: "", At: at},
		{N: math.MaxInt64, Maybe: new(int64(-1)), Word: "微信支付\t\"{}", Empty: "NULL", Yes: true, At: at.AddDate(-2000, 0, 0)},
		{Maybe: new(int64(0)), Word: "NULL", Empty: " ", At: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	sql := "SELECT n, maybe::bigint, word, empty, yes, at FROM " + arrays.Unnest("r", columns(), 0)
	var p arrays.Params
	for name, query := range map[string]func() ([]read, error){
		"prepared": func() ([]read, error) { return arrays.Query[read](t.Context(), conn, &p, sql) },
		"once":     func() ([]read, error) { return arrays.QueryOnce[read](t.Context(), conn, &p, sql) },
	} {
		for n := len(rows); n >= 0; n-- { // also none
			p.Reset()
			arrays.Add(&p, columns(), rows[:n])
			got, err := query()
			if err != nil {
				t.Fatalf("%s: %d rows: %v", name, n, err)
			}
			var want []read
			for _, r := range rows[:n] {
				w := read{N: r.N, Maybe: r.Maybe, Word: r.Word, Yes: r.Yes, At: r.At}
				if r.Empty != "" {
					w.Empty = &r.Empty
				}
				want = append(want, w)
			}
			if diff := cmp.Diff(want, got); diff != "" && n+len(got) > 0 {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// The driver gets a buffer of ours for a long message. It must not write to it later: another
// connection may be using it then.
func TestDriverLetsGoOfTheBuffer(t *testing.T) {
	t.Parallel()
	url := postgrestest.NewDatabase(t)
	one, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close(context.Background())
	another, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close(context.Background())
	many := make([]row, 1000)
	sql := "SELECT n, maybe::bigint, word, empty, yes, at FROM " + arrays.Unnest("r", columns(), 0)
	var p arrays.Params
	query := func(conn *pgx.Conn, sql string) ([]read, error) {
		p.Reset()
		arrays.Add(&p, columns(), many)
		return arrays.Query[read](t.Context(), conn, &p, sql)
	}
	check := func(when string) {
		t.Helper()
		if rows, err := query(one, sql); err != nil || len(rows) != len(many) {
			t.Fatal(when, len(rows), err)
		}
		begin := slices.Clone(p.Wire()[:64])
		for _, conn := range []*pgx.Conn{one, another} {
			if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
				t.Fatal(when, err)
			}
		}
		if !slices.Equal(begin, p.Wire()[:64]) {
			t.Error(when, "the driver wrote to the buffer")
		}
	}
	check("at first")
	if _, err := query(another, "SELECT 1/(n - n) AS n, maybe::bigint, word, empty, yes, at FROM "+arrays.Unnest("r", columns(), 0)); err == nil {
		t.Fatal("divided by zero")
	}
	check("after an error")
}
