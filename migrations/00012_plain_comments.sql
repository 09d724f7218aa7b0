-- +goose Up

COMMENT ON TABLE orders IS 'One row per payment. The application inserts it. The reconciler or the application''s own callback settles it. Amounts are integer fen.';
COMMENT ON COLUMN orders.order_amount IS 'The amount that the payer was asked for, in fen. The reconciler never changes it.';
COMMENT ON COLUMN orders.created_at IS 'When the payment began. The age of the order counts from here.';
COMMENT ON COLUMN orders.expires_at IS 'When the payer can no longer pay. The default is 30 minutes, as at the gateway.';
COMMENT ON COLUMN orders.status IS 'UNKNOWN, NEW_ORDER, WAIT_BUYER_PAY: the outcome is unknown. TRADE_SUCCESS, TRADE_REFUND, TRADE_CLOSED: settled, in the gateway''s word. NOT_FOUND: the gateway does not know the order.';
COMMENT ON COLUMN orders.total_amount IS 'totalAmount: the order''s total, in fen. It equals order_amount once booked.';
COMMENT ON COLUMN orders.buyer_pay_amount IS 'buyerPayAmount: the amount that the payer paid, in fen.';
COMMENT ON COLUMN orders.receipt_amount IS 'receiptAmount: the amount that the merchant receives, in fen.';
COMMENT ON COLUMN orders.invoice_amount IS 'invoiceAmount: the amount that an invoice may show, in fen.';
COMMENT ON COLUMN orders.coupon_other_contribute IS 'couponOtherContribute: the discount that others pay, in fen.';
COMMENT ON COLUMN orders.coupon_merchant_contribute IS 'couponMerchantContribute: the discount that the merchant pays, in fen.';
COMMENT ON COLUMN orders.buyer_cash_pay_amt IS 'buyerCashPayAmt: the part paid in cash, in fen.';
COMMENT ON COLUMN orders.refund_amount IS 'refundAmount: the amount refunded so far, in fen.';
COMMENT ON COLUMN orders.settle_date IS 'settleDate: the day of clearing in China. Only on paid orders.';
COMMENT ON COLUMN orders.target_sys IS 'targetSys: the channel, usually WXPay.';
COMMENT ON COLUMN orders.target_status IS 'targetStatus: the result of the channel''s call. It does not tell whether the order was paid.';
COMMENT ON COLUMN orders.bill_funds IS 'billFunds: the ways of payment with their fen, joined by |.';
COMMENT ON COLUMN orders.next_query_at IS 'When the order is due. Null: it will not be asked again.';
COMMENT ON COLUMN orders.query_count IS 'Number of answers that spent the plan. It chooses the next wait.';
COMMENT ON COLUMN orders.last_queried_at IS 'When the last question began.';
COMMENT ON COLUMN orders.last_error IS 'The last trouble, in words. Null: the last question met none.';
COMMENT ON COLUMN orders.lease_until IS 'The order is in flight until then at the latest.';
COMMENT ON COLUMN orders.claim_no IS 'Fencing token. Each claim raises it; an answer to an older claim changes nothing.';
COMMENT ON COLUMN orders.claimed_by IS 'The instance that claimed the order.';
COMMENT ON COLUMN orders.review_reason IS 'Why a person is needed, in one word. Such an order is not asked by itself.';
COMMENT ON COLUMN orders.review_note IS 'The reason in words, and what to do.';
COMMENT ON COLUMN orders.unrecorded_claims IS 'Claims that count toward poison.';

COMMENT ON TABLE order_queries IS 'The ledger: one row per question. Rows are never changed. Each tells the question, the answer, the rule that decided, and when the order will be asked next.';
COMMENT ON COLUMN order_queries.claim_no IS 'The claim that the question belongs to. A claim has one question.';
COMMENT ON COLUMN order_queries.duration_ms IS 'How long the question took, in milliseconds, with its retries and waits.';
COMMENT ON COLUMN order_queries.round_trips IS 'Number of requests that were sent to the gateway.';
COMMENT ON COLUMN order_queries.http_status IS 'HTTP status of the last answer. Null: no answer came.';
COMMENT ON COLUMN order_queries.err_code IS 'errCode of the last answer. It tells whether the gateway handled the question. It does not tell whether the order was paid.';
COMMENT ON COLUMN order_queries.err_msg IS 'errMsg or errInfo of the last answer, or the trouble in words.';
COMMENT ON COLUMN order_queries.trade_status IS 'status of the last answer: the state of the payment at the gateway.';
COMMENT ON COLUMN order_queries.decision IS 'settled; deferred; not_found; review; no_answer: no usable answer came; refused: the gateway refused to answer us; superseded: the order had changed meanwhile.';
COMMENT ON COLUMN order_queries.next_query_at IS 'When the order will be asked next. Null: not by itself.';
COMMENT ON COLUMN order_queries.response IS 'The answer as received. Bank card number and buyer name are masked. An answer that is not JSON is a JSON string.';

COMMENT ON TABLE order_events IS 'One row per change that the application should hear of, in the transaction of the change. Read it with next_order_events and ack_order_events. NOTIFY order_events tells that there are new rows.';
COMMENT ON COLUMN order_events.id IS 'Number of the row. A transaction that ends later can have lower numbers: do not use it as a cursor, use next_order_events.';
COMMENT ON COLUMN order_events.payload IS 'The change: from and to (status), amounts in fen, pay_time, settle_date, review reason and note, and the claim that proves it.';

COMMENT ON TABLE gateway_controls IS 'The pauses in force: one row per app id or merchant. The circuit breaker and people write it, and all instances obey it.';
COMMENT ON COLUMN gateway_controls.scope IS 'app: an app id at the gateway. mid: one merchant.';
COMMENT ON COLUMN gateway_controls.paused_until IS 'No question is asked until then. Null: until somebody resumes.';
COMMENT ON COLUMN gateway_controls.reason IS 'Why it is paused.';
COMMENT ON COLUMN gateway_controls.set_by IS 'breaker, or the person who paused. The breaker never ends a pause that a person set.';
COMMENT ON COLUMN gateway_controls.set_at IS 'When the pause was set.';
COMMENT ON COLUMN gateway_controls.probe_until IS 'After a pause of the breaker one question is asked as a probe. It is in flight until then at the latest.';

COMMENT ON TABLE gateway_budgets IS 'The round trips that all instances together may begin: a token bucket per app id. A row that is deleted is made again, full.';
COMMENT ON COLUMN gateway_budgets.tokens IS 'Round trips that were allowed at refilled_at. It is below 0 while retries wait.';

-- +goose Down

-- Nothing to take back.
