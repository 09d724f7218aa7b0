package operator

import (
	"fmt"
	"strings"

	"reconciler/internal/store"
)

// refusal tells a person why something was not done. Its error is for the command line: English,
// with the flags that help. Its words are for a page: either language, with the page's fields.
type refusal struct {
	error

	words message
	args  []any
}

func (r *refusal) Unwrap() error { return r.error }

// refuse gives an error the words of a page. A test wants words for every refusal of an action.
func refuse(err error, words message, args ...any) error { return &refusal{err, words, args} }

// refuseUsage is a mistake of a person. Both texts take the same arguments.
func refuseUsage(words message, english string, args ...any) error {
	return refuse(fmt.Errorf("%w: "+english, append([]any{ErrUsage}, args...)...), words, args...)
}

// RefuseInput is a mistake in what a person filled in or followed, in a word of the console.
func RefuseInput(key string, args ...any) error {
	words := consoleWords()[key]
	return &refusal{fmt.Errorf("%w: %s", ErrUsage, Locale{}.say(words, args...)), words, args}
}

// Refusal says in the person's language why an action was refused. It is "" for an error that is
// no refusal, such as a database that does not answer.
func (l Locale) Refusal(err error) string {
	return strings.Join(l.refusalWords(err), " ")
}

func (l Locale) refusalWords(err error) (list []string) {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself, to find each refusal of a joined error
	case *refusal:
		return []string{l.say(e.words, e.args...)}
	case *store.InFlightError:
		return []string{l.say(msgRefusedInFlight, e.ClaimedBy, l.Stamp(e.Until))}
	case *store.PausedError:
		return []string{l.say(msgRefusedPaused, l.newPause(e.Control).inWords(l))}
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			list = append(list, l.refusalWords(part)...)
		}
		return list
	case interface{ Unwrap() error }:
		return l.refusalWords(e.Unwrap())
	}
	if IsStale(err) {
		return []string{l.say(msgWebStale)}
	}
	return nil
}
