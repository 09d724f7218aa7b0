package arrays

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// pgType is a type of the server: its name, its OID and the OID of its arrays.
type pgType struct {
	name       string
	oid, array uint32
}

// Encoder appends a value of T to a buffer as one element of an array: its length and its bytes, in
// the binary format of the type's *_recv function.
type Encoder[T any] struct {
	pgType pgType
	bytes  func(buf []byte, v T) []byte
}

// Bigint encodes whole numbers.
func Bigint() Encoder[int64] {
	return Encoder[int64]{pgType{"bigint", pgtype.Int8OID, pgtype.Int8ArrayOID}, appendInt}
}

// Text encodes strings of valid UTF-8 without NUL; the server refuses others.
func Text() Encoder[string] { return Encoder[string]{textType(), appendText[string]} }

// Bytes encodes bytes as text.
func Bytes() Encoder[[]byte] { return Encoder[[]byte]{textType(), appendText[[]byte]} }

func textType() pgType { return pgType{"text", pgtype.TextOID, pgtype.TextArrayOID} }

// Boolean encodes truth values.
func Boolean() Encoder[bool] {
	return Encoder[bool]{pgType{"boolean", pgtype.BoolOID, pgtype.BoolArrayOID}, appendBool}
}

// Timestamptz encodes instants to the microsecond.
func Timestamptz() Encoder[time.Time] {
	return Encoder[time.Time]{pgType{"timestamptz", pgtype.TimestamptzOID, pgtype.TimestamptzArrayOID}, appendTime}
}

// Nullable encodes pointers; nil is null.
func Nullable[T any](e Encoder[T]) Encoder[*T] {
	return Encoder[*T]{e.pgType, func(buf []byte, v *T) []byte {
		if v == nil {
			return appendNull(buf)
		}
		return e.bytes(buf, *v)
	}}
}

// EmptyIsNull encodes texts; an empty one is null.
func EmptyIsNull[T ~string | ~[]byte](e Encoder[T]) Encoder[T] {
	return Encoder[T]{e.pgType, func(buf []byte, v T) []byte {
		if len(v) == 0 {
			return appendNull(buf)
		}
		return e.bytes(buf, v)
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
	const epoch = 946_684_800_000_000 // of Postgres, in Unix microseconds
	return appendInt(buf, v.UnixMicro()-epoch)
}

// appendHeader begins an array of one dimension that may have nulls. Its first element is number 1.
func appendHeader(buf []byte, element uint32, length int) []byte {
	for _, n := range [...]uint32{1, 1, element, uint32(length), 1} {
		buf = binary.BigEndian.AppendUint32(buf, n)
	}
	return buf
}
