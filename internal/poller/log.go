package poller

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"reconciler/internal/order"
)

// tell logs a pass that is taking long.
func (x *pass) tell(last *time.Time) {
	if time.Since(*last) < tellEvery {
		return
	}
	*last = time.Now()
	x.summary.Duration = time.Since(x.started)
	x.Logger.LogAttrs(context.Background(), slog.LevelInfo, "pass goes on", x.summary.attrs()...)
}

// log says what became of an order: ordinary decisions at debug, what someone
// may have to look into above it.
func (x *pass) log(ctx context.Context, out order.Outcome) {
	level, message := slog.LevelDebug, "order decided"
	switch {
	case out.Decision == order.Refused && out.Reason == order.ReasonCredentials:
		level, message = slog.LevelError, "the gateway refuses our credentials"
	case out.Decision == order.Refused:
		level, message = slog.LevelError, "the gateway refuses the merchant"
	case out.Decision == order.Review:
		level, message = slog.LevelWarn, "order needs a review"
	case out.Decision == order.Settled && out.LastError != "":
		level, message = slog.LevelWarn, "order settled, but part of the answer cannot be read"
	case slices.Contains(order.UnexpectedReasons(), out.Reason):
		level, message = slog.LevelWarn, "the gateway's answer is not understood"
	}
	attrs := []slog.Attr{
		slog.Int64("order_id", out.Order.ID),
		slog.String("mid", out.Order.MID),
		slog.String("mer_order_id", out.Order.MerOrderID),
		slog.String("decision", string(out.Decision)),
		slog.String("reason", out.Reason),
		slog.String("status", string(out.Status)),
		slog.Int("round_trips", out.Question.RoundTrips),
		slog.Float64("duration_seconds", out.Question.Duration.Seconds()),
	}
	if out.LastError != "" {
		attrs = append(attrs, slog.String("trouble", out.LastError))
	}
	if out.NextQueryAt != nil {
		attrs = append(attrs, slog.Time("next_query_at", *out.NextQueryAt))
	}
	x.Logger.LogAttrs(ctx, level, message, attrs...)
}
