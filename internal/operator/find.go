package operator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"reconciler/internal/store"
)

// ErrUsage marks a mistake of the person, such as an order number that cannot be one.
var ErrUsage = errors.New("bad usage")

// ErrNoOrder means that no order has the name.
var ErrNoOrder = errors.New("no such order")

// minNumberLength is the length of the shortest order number.
const minNumberLength = 6

// ParseOrderName reads an order as a person writes it: #id, or one of its numbers. A number that is
// too short for an order's is an id.
func ParseOrderName(text, mid string) (store.OrderName, error) {
	text = strings.TrimSpace(text)
	digits, marked := strings.CutPrefix(text, "#")
	if marked || len(text) < minNumberLength {
		id, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || id <= 0 {
			return store.OrderName{}, fmt.Errorf("%w: %q is no order: give one of its numbers, or #id", ErrUsage, text)
		}
		return store.OrderName{ID: id, MID: mid}, nil
	}
	return store.OrderName{Number: text, MID: mid}, nil
}

// findOrder finds the one order of a name.
func (d *Desk) findOrder(ctx context.Context, name store.OrderName) (store.Detail, error) {
	list, err := d.Store.FindOrders(ctx, name, d.Zone)
	switch {
	case err != nil:
		return store.Detail{}, err
	case len(list) == 1:
		return list[0], nil
	case len(list) == 0 && name.ID != 0 && name.MID != "":
		return store.Detail{}, fmt.Errorf("%w: #%d of merchant %s; without --mid it would be that of any merchant", ErrNoOrder, name.ID, name.MID)
	case len(list) == 0 && name.ID != 0:
		return store.Detail{}, fmt.Errorf("%w: id %d", ErrNoOrder, name.ID)
	case len(list) == 0 && name.MID != "":
		return store.Detail{}, fmt.Errorf("%w: %s of merchant %s, neither by the merchant's number nor by the channel's", ErrNoOrder, name.Number, name.MID)
	case len(list) == 0:
		return store.Detail{}, fmt.Errorf("%w: %s, neither by the merchant's number nor by the channel's", ErrNoOrder, name.Number)
	}
	lines := []string{fmt.Sprintf("%s names %d orders; choose with --mid, or by #id:", name.Number, len(list))}
	for _, o := range list {
		lines = append(lines, fmt.Sprintf("  --mid %s   #%d   %s   %s   created %s", o.MID, o.ID, Yuan(o.OrderAmount), o.Status, d.Stamp(o.CreatedAt)))
	}
	return store.Detail{}, errors.New(strings.Join(lines, "\n"))
}
