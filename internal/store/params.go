package store

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// params are the parameters of a statement, each an array, in the binary format of
// Postgres's protocol (array_recv and the types' own *_recv in its source). They are
// written into one buffer, which is there for the next group as well. The driver would
// make an interface value of each cell, and let its buffers grow anew with each
// statement: an eighth of the program's CPU in a drain, and half of what it allocated.
type params struct {
	buffer []byte
	values [][]byte
	oids   []uint32
}

// wire is a type of the server's by its name and number, and the number of its arrays.
type wire struct {
	name       string
	oid, array uint32
}

// kind is how values of T travel: as what, and how a cell is appended, which is its
// length and its bytes.
type kind[T any] struct {
	wire

	cell func(buf []byte, v T) []byte
}

func bigint() kind[int64] {
	return kind[int64]{wire{"bigint", pgtype.Int8OID, pgtype.Int8ArrayOID}, appendInt}
}

func text() kind[string] { return kind[string]{textWire(), appendText[string]} }

// raw is text as well.
func raw() kind[[]byte] { return kind[[]byte]{textWire(), appendText[[]byte]} }

func textWire() wire { return wire{"text", pgtype.TextOID, pgtype.TextArrayOID} }

func boolean() kind[bool] {
	return kind[bool]{wire{"boolean", pgtype.BoolOID, pgtype.BoolArrayOID}, appendBool}
}

func timestamptz() kind[time.Time] {
	return kind[time.Time]{wire{"timestamptz", pgtype.TimestamptzOID, pgtype.TimestamptzArrayOID}, appendTime}
}

// nullable is the kind of pointers; nil is null.
func nullable[T any](k kind[T]) kind[*T] {
	return kind[*T]{k.wire, func(buf []byte, v *T) []byte {
		if v == nil {
			return appendNull(buf)
		}
		return k.cell(buf, *v)
	}}
}

// filled is the kind of texts of which the empty one is null.
func filled[T ~string | ~[]byte](k kind[T]) kind[T] {
	return kind[T]{k.wire, func(buf []byte, v T) []byte {
		if len(v) == 0 {
			return appendNull(buf)
		}
		return k.cell(buf, v)
	}}
}

func appendNull(buf []byte) []byte { return binary.BigEndian.AppendUint32(buf, math.MaxUint32) }

func appendInt(buf []byte, v int64) []byte {
	buf = binary.BigEndian.AppendUint32(buf, 8)
	return binary.BigEndian.AppendUint64(buf, uint64(v))
}

func appendText[T ~string | ~[]byte](buf []byte, v T) []byte {
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(v)))
	return append(buf, v...)
}

func appendBool(buf []byte, v bool) []byte {
	buf = binary.BigEndian.AppendUint32(buf, 1)
	if v {
		return append(buf, 1)
	}
	return append(buf, 0)
}

// appendTime appends microseconds since the year 2000.
func appendTime(buf []byte, v time.Time) []byte {
	const epoch = 946_684_800_000_000 // of Postgres, by Unix's clock
	return appendInt(buf, v.UnixMicro()-epoch)
}

// appendArrayHeader begins an array of one dimension, in which there may be nulls. Its
// first element is number 1.
func appendArrayHeader(buf []byte, element uint32, length int) []byte {
	for _, n := range [...]uint32{1, 1, element, uint32(length), 1} {
		buf = binary.BigEndian.AppendUint32(buf, n)
	}
	return buf
}

// add appends a group's arrays, one a column.
func (p *params) add(columns []column, group []order.Outcome) {
	for _, c := range columns {
		begin := len(p.buffer)
		p.buffer = appendArrayHeader(p.buffer, c.sent.oid, len(group))
		for i := range group {
			p.buffer = c.cell(p.buffer, &group[i])
		}
		p.values = append(p.values, p.buffer[begin:])
		p.oids = append(p.oids, c.sent.array)
	}
}

// reset leaves nothing but room.
func (p *params) reset() {
	p.buffer, p.values, p.oids = p.buffer[:0], p.values[:0], p.oids[:0]
}

// run runs a statement with them that returns claims. It is prepared, once a connection,
// unless the database's URL says something else, as it has to behind some poolers: then
// it is an unnamed one of the extended protocol, whatever else the URL says.
func (p *params) run(ctx context.Context, conn *pgx.Conn, sql string) ([]claimKey, error) {
	all := []int16{pgtype.BinaryFormatCode}
	message := room{size: len(p.buffer) + 8*len(p.values) + len(sql) + 256}
	if conn.Config().DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		conn.PgConn().Frontend().Send(message)
		return collect(conn, conn.PgConn().ExecParams(ctx, sql, p.values, p.oids, all, all))
	}
	statement, err := conn.Prepare(ctx, sql, sql)
	if err != nil {
		return nil, err
	}
	conn.PgConn().Frontend().Send(message)
	claims, err := collect(conn, conn.PgConn().ExecStatement(ctx, statement, p.values, all, all))
	if err != nil {
		_ = conn.Deallocate(ctx, sql) // the trouble may be that the server has it no more
	}
	return claims, err
}

func collect(conn *pgx.Conn, result *pgconn.ResultReader) ([]claimKey, error) {
	return pgx.CollectRows(pgx.RowsFromResultReader(conn.TypeMap(), result), pgx.RowToStructByPos[claimKey])
}

// room is a message that is sent as nothing. It makes the driver's buffer as long as the
// next message, which would else be copied again and again while the buffer grows.
type room struct {
	pgproto3.FrontendMessage

	size int
}

// Encode makes the room.
func (r room) Encode(dst []byte) ([]byte, error) { return slices.Grow(dst, r.size), nil }
