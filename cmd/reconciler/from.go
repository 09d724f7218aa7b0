package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"reconciler/internal/store"
)

// maxListSize bounds the list of --from.
const maxListSize = 64 << 20

// readList reads the orders of a list: one number a line, or a CSV with the columns mer_order_id
// and, if it likes, mid. "-" is stdin. Duplicates count once.
func readList(path string) ([]store.NamedOrder, error) {
	var reader io.Reader = os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--from: %w", err)
		}
		defer file.Close()
		reader = file
	}
	text, err := io.ReadAll(io.LimitReader(reader, maxListSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("--from %s: %w", path, err)
	case len(text) > maxListSize:
		return nil, fmt.Errorf("--from %s is larger than %d MiB", path, maxListSize>>20)
	}
	list, err := parseList(text)
	if err != nil {
		return nil, fmt.Errorf("--from %s: %w", path, err)
	}
	return list, nil
}

// parseList fails with the number of the first line that cannot be read.
func parseList(text []byte) ([]store.NamedOrder, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	for i, line := range bytes.Split(text, []byte("\n")) {
		if !utf8.Valid(line) {
			return nil, fmt.Errorf("line %d is not UTF-8", i+1)
		}
	}
	list, err := parseLines(string(text))
	if header := headerOf(string(text)); header != nil {
		list, err = parseCSV(string(text), header)
	}
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("the list is empty")
	}
	return list, nil
}

// headerOf is the header of a CSV, in small letters: a first line with several columns, or one that
// speaks of mer_order_id. Semicolons count too, so that what spreadsheets write is refused in words.
func headerOf(text string) []string {
	header, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil
	}
	for i, name := range header {
		header[i] = strings.ToLower(strings.TrimSpace(name))
	}
	if len(header) > 1 || strings.Contains(header[0], "mer_order_id") || strings.Contains(header[0], ";") {
		return header
	}
	return nil
}

func parseLines(text string) ([]store.NamedOrder, error) {
	var list []store.NamedOrder
	for i, line := range strings.Split(text, "\n") {
		number := strings.TrimSpace(line)
		if number == "" {
			continue
		}
		if err := checkNumber(number); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		list = append(list, store.NamedOrder{MerOrderID: number})
	}
	return list, nil
}

func parseCSV(text string, header []string) ([]store.NamedOrder, error) {
	number, mid := slices.Index(header, "mer_order_id"), slices.Index(header, "mid")
	if i := slices.Index(header[number+1:], "mer_order_id"); number >= 0 && i >= 0 {
		return nil, errors.New("line 1: the CSV has two columns mer_order_id")
	}
	if number < 0 {
		return nil, errors.New("line 1: the CSV has no column mer_order_id; commas separate columns")
	}
	reader := csv.NewReader(strings.NewReader(text))
	reader.FieldsPerRecord = -1
	_, _ = reader.Read() // the header, which was read before
	var list []store.NamedOrder
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if problem, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, fmt.Errorf("line %d: %w", problem.Line, problem.Err)
		}
		line, _ := reader.FieldPos(0)
		if number >= len(record) || mid >= len(record) {
			return nil, fmt.Errorf("line %d has %d columns, the header has %d", line, len(record), len(header))
		}
		named := store.NamedOrder{MerOrderID: strings.TrimSpace(record[number])}
		if mid >= 0 {
			named.MID = strings.TrimSpace(record[mid])
		}
		err = checkNumber(named.MerOrderID)
		if strings.ContainsFunc(named.MID, unicode.IsControl) {
			err = fmt.Errorf("%.80q is no merchant number", named.MID)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		list = append(list, named)
	}
}

// checkNumber refuses what no order number is.
func checkNumber(number string) error {
	if len(number) < 6 || len(number) > 64 || strings.ContainsFunc(number, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return fmt.Errorf("%.80q is no order number: 6 to 64 printable ASCII characters", number)
	}
	return nil
}
