package store

// Round is a place in the round of the merchants; zero is the beginning.
type Round struct {
	Behind string // a merchant, where all have their turn
	From   int    // of the claim's MIDs, where these have
}

// nextRound is where the next claim goes on. A claim that nothing was allowed stays where it is.
func (w claimedRow) nextRound(c Claim) Round {
	switch next := c.Round.From + merchantWindow; {
	case c.MIDs == nil:
		return Round{Behind: w.LastMID}
	case w.HeadShort && next < len(c.MIDs):
		return Round{From: next}
	}
	return Round{}
}

// byMerchant reports whether merchants are left out, so that orders are found by merchant as well.
func (c Claim) byMerchant() bool {
	return c.ExceptMIDs != nil || c.MIDs != nil || len(c.PausedMIDs)+len(c.LimitedMIDs) > 0
}

// maxPerLook is how many orders of a merchant a claim looks at. With more merchants than one claim
// looks at, the share of each is small.
func (c Claim) maxPerLook() int {
	if c.Round.Behind == "" && len(c.MIDs) <= merchantWindow {
		return 2 * c.Limit
	}
	return max(8, 4*c.Limit/merchantWindow)
}

// windowMIDs lists the merchants of MIDs that the claim looks at: some from one on.
func (c Claim) windowMIDs() []string {
	list := c.MIDs[min(c.Round.From, len(c.MIDs)):]
	return list[:min(len(list), merchantWindow)]
}
