package console

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// isBuyer reports whether a key names the payer.
func isBuyer(key string) bool {
	switch strings.ToLower(strings.ReplaceAll(key, "_", "")) {
	case "buyerid", "subbuyerid", "buyerusername", "buyerlogonid", "openid", "subopenid", "bankcardno", "cardno":
		return true
	}
	return false
}

// maskText leaves the first three and the last two characters of a longer text.
func maskText(text string) string {
	runes := []rune(text)
	switch {
	case text == "":
		return ""
	case strings.Contains(text, "*"): // masked when it was written
		return text
	case len(runes) < 8:
		return "***"
	}
	return string(runes[:3]) + "***" + string(runes[len(runes)-2:])
}

// maskDocument returns a JSON document, indented, in which the payer is masked: the values of the
// keys that name one, and these values wherever else they stand.
func maskDocument(document json.RawMessage, known []string) string {
	value, err := decodeDocument(document)
	if err != nil {
		return maskTexts(string(document), known)
	}
	buyers := append(slices.Clone(known), buyersOf(value)...)
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if encoder.Encode(hideBuyers(value, buyers)) != nil {
		return ""
	}
	return strings.TrimSpace(out.String())
}

func decodeDocument(document json.RawMessage) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

// buyersOf collects the texts that name a payer.
func buyersOf(value any) (list []string) {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			if text, ok := inner.(string); ok && isBuyer(key) {
				list = append(list, text)
			} else {
				list = append(list, buyersOf(inner)...)
			}
		}
	case []any:
		for _, inner := range value {
			list = append(list, buyersOf(inner)...)
		}
	}
	return list
}

func hideBuyers(value any, buyers []string) any {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			text, isText := inner.(string)
			switch {
			case !isBuyer(key) || inner == nil:
				value[key] = hideBuyers(inner, buyers)
			case isText:
				value[key] = maskText(text)
			default: // a number or a list is not shown at all
				value[key] = "***"
			}
		}
	case []any:
		for i, inner := range value {
			value[i] = hideBuyers(inner, buyers)
		}
	case string:
		return maskTexts(value, buyers)
	}
	return value
}

// maskTexts masks known payers in a text.
func maskTexts(text string, buyers []string) string {
	for _, buyer := range buyers {
		if utf8.RuneCountInString(buyer) >= 8 {
			text = strings.ReplaceAll(text, buyer, maskText(buyer))
		}
	}
	return text
}
