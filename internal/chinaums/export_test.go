package chinaums

import "encoding/json"

// Redact is what an [Answer] keeps of a body.
func Redact(body []byte) json.RawMessage {
	_, kept, _ := readBody(body, newSecretScan())
	return kept
}
