package store

import (
	"context"
	"encoding/json"
	"fmt"

	"reconciler/internal/order"
)

// RecordUnwritable writes an outcome whose own write was refused: nothing of the answer but its
// evidence, and the review [order.ReviewUnwritable] with the cause in its note. It leaves out
// whatever is refused as well, in the end all but the review.
func (s *Store) RecordUnwritable(ctx context.Context, o order.Outcome, cause error) (Recorded, error) {
	r, err := s.answers.recordUnwritable(ctx, o, cause)
	if err != nil {
		return Recorded{}, fmt.Errorf("record answers: %w", err)
	}
	return r, nil
}

func (w *answerWriter) recordUnwritable(ctx context.Context, o order.Outcome, cause error) (Recorded, error) {
	o = w.unwritableOutcome(o, cause)
	silent := o
	silent.Event = ""
	var refusal error
	for _, attempt := range []order.Outcome{o, asText(o), silent, asText(silent)} {
		written, err := w.recordTogether(ctx, []order.Outcome{attempt}, usualWait, w.maxAlone)
		switch {
		case err == nil:
			return written[0], nil
		case isLockTimeout(err):
			return Recorded{Outcome: o, State: Locked, Err: err}, nil
		case !isOfOneRow(err):
			return Recorded{}, err
		}
		if refusal = err; sqlState(err) == queryCanceled {
			break // a trigger that hangs does so whatever the values are
		}
	}
	return w.recordReviewAlone(ctx, silent, refusal)
}

// recordReviewAlone writes a review without its ledger row, where even that is refused.
func (w *answerWriter) recordReviewAlone(ctx context.Context, o order.Outcome, refusal error) (Recorded, error) {
	written, err := w.recordMatching(ctx, []order.Outcome{o}, nil, usualWait, w.maxAlone)
	switch {
	case err == nil && written[claimOf(&o)]:
		return Recorded{Outcome: o}, nil
	case err == nil, isLockTimeout(err):
		return Recorded{Outcome: o, State: Locked, Err: err}, nil // or it has changed meanwhile: the next try tells
	case isOfOneRow(err):
		return Recorded{Outcome: o, State: Refused, Err: refusal}, nil
	}
	return Recorded{}, err
}

// unwritableOutcome is the review of an outcome whose values were refused.
func (w *answerWriter) unwritableOutcome(o order.Outcome, cause error) order.Outcome {
	o.Booking = order.Booking{}
	o.Decision, o.Reason, o.ReviewReason = order.Review, order.ReviewUnwritable, order.ReviewUnwritable
	o.Status, o.NextQueryAt, o.LastError = o.Order.Status, nil, ""
	o.ReviewNote = w.notes.unwritableNote(o.Question.TradeStatus, plainWords(cause))
	o.Event = ""
	if o.Order.ReviewReason != order.ReviewUnwritable {
		o.Event = order.EventReview
	}
	return o
}

// asText keeps the answer as a JSON string, in case that the document itself is
// what was refused.
func asText(o order.Outcome) order.Outcome {
	if text, err := json.Marshal(string(o.Question.Response)); err == nil && o.Question.Response != nil {
		o.Question.Response = text
	}
	return o
}
