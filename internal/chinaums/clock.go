package chinaums

import (
	"sync"
	"time"
	_ "time/tzdata" // a container without zone files must not shift every stamp by eight hours
)

// The gateway's layouts. Its texts carry no zone and mean China time. The first is for the
// Authorization header, the second for the bodies' stamps, the third for settleDate. The gateway
// refuses one instead of another.
const (
	TimestampLayout = "20060102150405"
	DateTimeLayout  = "2006-01-02 15:04:05"
	DateLayout      = "2006-01-02"
)

const secondsEastOfUTC = 8 * 60 * 60

var china = sync.OnceValue(func() *time.Location { //nolint:gochecknoglobals // never assigned again; read from the data once
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil { // not reachable with the zone data embedded; the clock has been the same since 1991
		return time.FixedZone("Asia/Shanghai", secondsEastOfUTC)
	}
	return zone
})

// China returns the zone of every time that the gateway writes or reads, Asia/Shanghai. The zone
// data is in the binary, so that a machine without any has the zone too.
func China() *time.Location { return china() }
