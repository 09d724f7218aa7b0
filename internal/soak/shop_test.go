package soak_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"reconciler/internal/chinaums/simulator"
)

// stayDueSQL gives a table the triggers that the migrations give orders.
func stayDueSQL(table string) string {
	return `CREATE TRIGGER zz_orders_stay_due BEFORE INSERT OR UPDATE ON ` + table + ` FOR EACH ROW
    WHEN (NEW.review_reason = '' OR (NEW.next_query_at IS NULL AND NEW.review_reason IS NULL
          AND NEW.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')))
    EXECUTE FUNCTION orders_stay_due();
CREATE TRIGGER zz_orders_stay_settled BEFORE UPDATE ON ` + table + ` FOR EACH ROW
    WHEN ((OLD.settled_at IS NOT NULL AND NEW.settled_at IS NULL) OR (OLD.settled_by IS NOT NULL AND NEW.settled_by IS NULL))
    EXECUTE FUNCTION orders_stay_settled();`
}

// archiveSQL is a table that inherits from orders.
const archiveSQL = `
CREATE TABLE orders_archive () INHERITS (orders);
CREATE TRIGGER soak_keep AFTER INSERT OR UPDATE OR DELETE ON orders_archive FOR EACH ROW EXECUTE FUNCTION soak_keep();
CREATE TRIGGER soak_shop BEFORE UPDATE ON orders_archive FOR EACH ROW EXECUTE FUNCTION soak_shop();
`

// shopSQL is what a shop has beside the reconciler: a trigger that raises for some orders and drops
// the writes of others. soak_rules says which.
const shopSQL = `
CREATE TABLE soak_rules (order_id bigint PRIMARY KEY, rule text NOT NULL);
CREATE TABLE soak_refused (order_id bigint);
CREATE FUNCTION soak_shop() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE rule text := (SELECT r.rule FROM soak_rules AS r WHERE r.order_id = NEW.id);
BEGIN
    IF rule IS NULL OR current_setting('application_name') <> 'reconciler' THEN
        RETURN NEW;
    ELSIF rule = 'claims' AND NEW.claim_no > OLD.claim_no THEN
        RAISE EXCEPTION 'the shop refuses the claim';
    ELSIF rule = 'settlements' AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'the shop refuses the settlement';
    ELSIF rule = 'answers' AND NEW.claim_no = OLD.claim_no THEN
        RAISE EXCEPTION 'the shop refuses the answer';
    ELSIF rule = 'dropped' AND NEW.claim_no = OLD.claim_no THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER soak_shop BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION soak_shop();
`

// refuse lets the shop's trigger refuse what is written to an order, until allow.
func (w *world) refuse() {
	id := w.someID()
	w.hand(w.db.clock, `INSERT INTO soak_refused VALUES ($1)`, id)
	w.hand(w.db.clock, `INSERT INTO soak_rules (order_id, rule) VALUES ($1, $2) ON CONFLICT (order_id) DO UPDATE SET rule = excluded.rule`,
		id, pick(w.rand, "claims", "settlements", "answers", "dropped"))
}

func (w *world) allow() {
	w.hand(w.db.clock, `DELETE FROM soak_rules WHERE order_id % 2 = $1`, w.rand.IntN(2))
}

// archive moves an order into the child table, settled or not.
func (w *world) archive() {
	if w.db.partitioned {
		return
	}
	w.hand(w.db.application, `WITH gone AS (DELETE FROM ONLY orders WHERE id = $1 RETURNING *) INSERT INTO orders_archive SELECT * FROM gone`, w.someID())
}

// mood is how a merchant is, beside what the simulator knows: it hangs, or it answers rubbish.
type mood string

const (
	moodWell    mood = ""
	moodHangs   mood = "hangs"
	moodRubbish mood = "rubbish"
)

func (w *world) changeMood(mid string, m mood) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moods[mid] = m
}

func (w *world) moodOf(mid string) mood {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moods[mid]
}

// gateway is the simulator behind something that may spoil a merchant's answers.
type gateway struct {
	*simulator.Simulator

	moods func(mid string) mood
}

// ServeHTTP answers one round trip.
func (g gateway) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var question struct{ MID string }
	_ = json.Unmarshal(body, &question)
	switch g.moods(question.MID) {
	case moodHangs:
		select {
		case <-r.Context().Done():
		case <-time.After(5 * requestTimeout):
		}
	case moodRubbish:
		_, _ = io.WriteString(out, `{"errCode":"SUCCESS","status":"TRADE_SUCCESS","buyerName":"a	raw tab"`)
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		g.Simulator.ServeHTTP(out, r)
	}
}
