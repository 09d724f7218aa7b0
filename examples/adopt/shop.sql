-- A shop's table as it is before: names of its own, states as numbers, amounts in yuan, times without a zone.
CREATE TABLE pay_order (
    id          bigserial PRIMARY KEY,
    order_sn    varchar(64) NOT NULL,
    mch_no      varchar(32) NOT NULL,
    pos_no      varchar(32) NOT NULL,
    amount_yuan numeric(12, 2) NOT NULL,
    pay_state   smallint NOT NULL DEFAULT 0, -- 0 pending, 1 paid, 2 closed, 3 refunded
    paid_at     timestamp,                   -- China time
    ctime       timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'Asia/Shanghai'),
    UNIQUE (mch_no, order_sn)
);
