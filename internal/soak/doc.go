// Package soak holds no program, only a test: several pollers, crashed and
// restarted at random, settle scripted orders on a real Postgres server against
// the simulated gateway, while the application, an operator and the clock
// interfere. Others have their hands on the same database: an ORM saves stale rows,
// explicit NULLs and UNKNOWN over settled orders; people clear reviews and correct
// what is being asked about; sessions hold rows locked. A trigger keeps every version of every order; from that history,
// the ledger and the events it is then proved that nothing untrue, nothing twice
// and nothing untold was done, and that every order has ended in its truth.
//
//	go test ./internal/soak                    about 20 s; with -short one round
//	make soak SOAKTIME=10m [SOAKSEED=123]      as long as one likes
//
// A run is a row of rounds. Each has a seed of its own, printed when it fails;
// SOAKSEED begins with that round. The seed decides every script and the driver's
// choices, but not how threads and processes interleave: a rare race may take
// several runs to come again.
package soak
