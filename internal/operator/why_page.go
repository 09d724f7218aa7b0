package operator

import "strings"

// Page is the story as text: the verdict first.
func (w Why) Page(l Locale) Page {
	var p Page
	o := w.detail
	var numbers []string
	for _, number := range []string{o.MerOrderID, o.TargetOrderID} {
		if number != "" {
			numbers = append(numbers, number)
		}
	}
	p.addLine(Strong, l.say(msgWhyHead, o.ID, strings.Join(numbers, " / "), o.MID, o.TID, Yuan(o.OrderAmount)))
	p.addLine(Plain, l.say(msgWhyTimes, l.Stamp(o.CreatedAt), l.Age(w.at.Sub(o.CreatedAt)), l.Stamp(o.ExpiresAt), l.ZoneName(w.at)))
	p.addBlank()
	p.addLine(w.Outcome.Tone(), w.Sentence)
	if o.ReviewNote != "" && w.Outcome == OutcomeReview {
		p.addLine(Plain, o.ReviewNote)
	}
	p.addBlank()
	next := l.say(msgWhyNoNext)
	if w.Next.Comes() {
		next = l.Stamp(*w.Next.At)
	}
	p.addRow(l.say(msgWhyNext), next, w.Next.Because)
	for i, then := range w.Then {
		head := ""
		if i == 0 {
			head = l.say(msgWhyThen)
		}
		p.addRow(head, l.Stamp(then.At), l.Then(then.What))
	}
	p.addBlank()
	p.addLine(Strong, l.say(msgWhyStory))
	for _, m := range w.Story {
		p.addRow("  "+l.Stamp(m.At), l.Kind(m.Kind), m.Text)
	}
	if len(w.Commands) > 0 {
		p.addBlank()
		p.addLine(Strong, l.say(msgWhyDo))
		for _, command := range w.Commands {
			p.addLine(Plain, "  "+command)
		}
	}
	return p
}

// Kind is what a moment of a story is, in words.
func (l Locale) Kind(kind string) string {
	return translate(l, map[string]message{
		"created": msgKindCreated, "asked": msgKindAsked, "event": msgKindEvent, "action": msgKindAction, "paused": msgKindPaused, "resumed": msgKindResumed,
	}, kind)
}
