// Package soak holds no program, only a test. Several pollers, crashed and restarted at random,
// settle scripted orders on a real Postgres server against the simulated gateway. The application,
// an operator and the clock interfere. A trigger keeps every version of every order. That history,
// the ledger and the events then prove that nothing untrue, nothing twice and nothing untold was
// done. They also prove that every order has ended in its truth.
//
//	go test ./internal/soak                    about 20 s; left out with -short
//	make soak SOAKTIME=10m [SOAKSEED=123]      as long as one likes
//
// A run is a row of rounds. Each has a seed of its own, printed when it fails;
// SOAKSEED begins with that round. The seed decides every script and the driver's
// choices, but not how threads and processes interleave: a rare race may take
// several runs to come again.
//
// # The hands of others
//
//   - hands: an ORM saves stale rows, explicit NULLs and UNKNOWN over settled
//     orders; people clear reviews and correct what is being asked about; sessions
//     hold rows locked; the clock is set back, so that instants lie far ahead.
//   - database: rights are revoked and given back, a table is renamed, the server is
//     read-only, connections end, and replies of commits are lost.
//   - shop: orders is partitioned in every second round, else orders move to a table
//     that inherits. A trigger raises or drops the writes of some. A merchant hangs or
//     answers rubbish.
//
// # What is proved
//
//   - invariants: of the history, whatever was done. Decisions are made from what
//     the row still says. An event says whether the order had been settled before.
//   - truth: where each order has ended. The shop's word stands until the shop takes
//     it back.
//   - poison: an order under review poison had three claims that ended with their
//     process.
//   - database: while its writes fail a process claims single probes.
//   - fairness: beside merchants that hang or answer rubbish, a healthy one's orders
//     are asked about before a bounded number of others' round trips.
package soak
