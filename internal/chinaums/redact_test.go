package chinaums_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"reconciler/internal/chinaums"
)

const (
	cardNo    = "6222021234567890123"
	buyerName = "欧阳QzX"
)

func TestRedactJSON(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	const n300, n301 = "1e300", "1e301"
	tests := map[string]struct{ body, want string }{
		"kept as it is":       {`{"b":[1,2.50,-0,true,false,null,"x<&>"],"a":{}}`, `{"b":[1,2.50,-0,true,false,null,"x<&>"],"a":{}}`},
		"space":               {" { \"a\" : [ 1 , 2 ] }\r\n", `{"a":[1,2]}`},
		"not an object":       {`"x"`, `"x"`},
		"card number":         {`{"bankCardNo":"6222021234567890123"}`, `{"bankCardNo":"***"}`},
		"already masked":      {`{"bankCardNo":"6222****0123"}`, `{"bankCardNo":"***"}`},
		"five characters":     {`{"bankCardNo":"12345"}`, `{"bankCardNo":"***"}`},
		"four characters":     {`{"bankCardNo":"1234"}`, `{"bankCardNo":"***"}`},
		"empty":               {`{"bankCardNo":"","buyerUsername":""}`, `{"bankCardNo":"***","buyerUsername":"***"}`},
		"not text":            {`{"bankCardNo":6222021234567890123,"buyerUsername":{"a":["张三"]}}`, `{"bankCardNo":"***","buyerUsername":"***"}`},
		"null":                {`{"bankCardNo":null,"buyerUsername":null}`, `{"bankCardNo":"***","buyerUsername":"***"}`},
		"at any depth":        {`[{"a":{"buyerUsername":"张三","b":[{"bankCardNo":"12345678"}]}}]`, `[{"a":{"buyerUsername":"***","b":[{"bankCardNo":"***"}]}}]`},
		"escaped key":         {`{"b\u0061nkCardNo":"12345678","\u0062uyerUsername":"张三"}`, `{"bankCardNo":"***","buyerUsername":"***"}`},
		"other case":          {`{"BankCardNO":"12345678"}`, `{"BankCardNO":"***"}`},
		"part of a key":       {`{"payerBankCardNo2":"12345678"}`, `{"[withheld: 16 bytes]":"***"}`},
		"in a text":           {`{"billPayment":"{\"bankCardNo\":\"12345678\",\"a\":1}","a":"b"}`, `{"billPayment":"[withheld: 31 bytes]","a":"b"}`},
		"in a text's text":    {`{"a":"{\"b\":\"{\\\"buyerUsername\\\":\\\"张三\\\"}\"}"}`, `{"a":"[withheld: 38 bytes]"}`},
		"in a key":            {`{"{\"bankCardNo\":\"12345678\"}":1}`, `{"[withheld: 25 bytes]":"***"}`},
		"NUL":                 {`{"a\u0000":"b\u0000c"}`, `{"a�":"b�c"}`},
		"NUL in a text":       {`{"a":"{\"b\":\"\\u0000\"}"}`, `{"a":"{\"b\":\"�\"}"}`},
		"lone surrogate":      {`{"a":"\ud800x\udc00"}`, `{"a":"�x�"}`},
		"pair":                {`{"a":"\ud83d\ude00"}`, `{"a":"😀"}`},
		"invalid UTF-8":       {"{\"a\xff\":\"b\xc3\"}", `{"a�":"b�"}`},
		"40 characters":       {`[` + strings.Repeat("1", 40) + `]`, `[` + strings.Repeat("1", 40) + `]`},
		"41 characters":       {`[` + strings.Repeat("1", 41) + `]`, `["` + strings.Repeat("1", 41) + `"]`},
		"exponents":           {`[` + n300 + `,1E-300,` + n301 + `,1e-301,1e999999999,0e99999999999999999999]`, `[1e300,1E-300,"1e301","1e-301","1e999999999","0e99999999999999999999"]`},
		"deep":                {deep(64), deep(64)},
		"too deep":            {deep(65), `"` + deep(65) + `"`},
		"far too deep":        {deep(20000), `"` + deep(20000) + `"`},
		"key twice":           {`{"a":{"totalAmount":1,"totalAmount":2}}`, `"{\"a\":{\"totalAmount\":1,\"totalAmount\":2}}"`},
		"key twice, cleaned":  {`{"a\u0000":1,"a\ufffd":2}`, `"{\"a�\":1,\"a\\ufffd\":2}"`},
		"separators":          {"[\"\u2028\",\"\u2029\",\"\u201C\"]", "[\"\\u2028\",\"\\u2029\",\"\u201C\"]"},
		"escapes undone":      {`["\/\u003c\u4e2d\t\u007f"]`, "[\"/<中\\t\x7f\"]"},
		"key after an object": {`{"a":{"b":1},"b":2}`, `{"a":{"b":1},"b":2}`},
		"key in two objects":  {`[{"a":1},{"a":2}]`, `[{"a":1},{"a":2}]`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := string(chinaums.Redact([]byte(tt.body))); got != tt.want {
				t.Errorf("got  %.300s\nwant %.300s", got, tt.want)
			}
		})
	}
	if got := chinaums.Redact(nil); got != nil {
		t.Errorf("empty body: got %s", got)
	}
}

func TestRedactText(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"HTML":          {"<html>502</html>", "<html>502</html>"},
		"space":         {" ", " "},
		"NUL":           {"a\x00b\\u0000c", "a�b�c"},
		"invalid UTF-8": {"a\xff\xfeb\xed\xa0\x80", "a�b�"},
		"a mention":     {`bankCardNo 不合法, a:1`, "[withheld: 25 bytes]"},
		"no mention":    {`bank card no 不合法, user: buyer, 100% & \broken \u12`, `bank card no 不合法, user: buyer, 100% & \broken \u12`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got string
			if err := json.Unmarshal(chinaums.Redact([]byte(tt.body)), &got); err != nil || got != tt.want {
				t.Errorf("got  %s\nwant %s (%v)", got, tt.want, err)
			}
		})
	}
}

// A text that mentions a secret name is withheld, however the name is spelled.
func TestRedactWithholdsEveryMention(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"trailing data":      `{"bankCardNo":"12345678"} {}`,
		"cut off inside":     `{"a":1,"bankCardNo":"62220212345`,
		"key twice":          `{"a":1,"a":2,"bankCardNo":"12345678","c":3}`,
		"too deep":           strings.Repeat("[", 70) + `{"buyerUsername":"x"}` + strings.Repeat("]", 70),
		"other case":         `BANKCARDNO=1`,
		"escaped":            `{"bank\u0043ard\u006eo":"1",`,
		"escaped twice":      `\\u0062ankCardNo`,
		"escaped backslash":  `\u005cu0062ankCardNo`,
		"backslashes":        `bank\\Card\No`,
		"hexadecimal":        `b\x61nkCardNo`,
		"form":               `errCode=1&bankCardNo=1`,
		"URL":                `%62ankCardNo and b%61nkcardno`,
		"URL twice":          `%2562ankCardNo`,
		"HTML":               `&#98;ankCardNo`,
		"HTML, hexadecimal":  `buyer&#x55;sername`,
		"HTML twice":         `&amp;#98;ankCardNo`,
		"Kelvin, long s":     "ban\u212ACardNo=1,buyerU\u017Fername=x",
		"half an escape":     `\u00bankCardNo=12345678`,
		"many levels":        `%25252525252525252525252562`,
		"at an odd place":    "0123456bankCardNo",
		"text in JSON":       `["x bankCardNo y"]`,
		"text in JSON twice": `["{\"a\":\"{\\\"buyerUsername\\\":1}\"}"]`,
		"escaped in JSON":    `["\\u0062ankCardNo"]`,
	} {
		got := string(chinaums.Redact([]byte(body)))
		if strings.Count(got, "[withheld: ") != 1 || strings.Contains(strings.ToLower(got), "card") || strings.Contains(got, "622") {
			t.Errorf("%s: %s became %s", name, body, got)
		}
	}
}

func TestRedactSampleBodies(t *testing.T) {
	t.Parallel()
	paid := readFile(t, "live_wechat_paid.json")
	got := chinaums.Redact(paid)
	want := strings.NewReplacer(cardNo, "***", "张三", "***", "\n", "").Replace(string(paid))
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for i := 0; i < len(paid); i += 3 {
		if out := chinaums.Redact(paid[:i]); bytes.Contains(out, []byte(cardNo[:8])) || bytes.Contains(out, []byte("张三")) {
			t.Fatalf("cut off at %d: %s", i, out)
		}
	}
}

// secrets are ways in which a body may hold a card number and a name, valid JSON or not. None holds
// the letter escape \u of anything but what it says.
func secrets() []string {
	return []string{
		`"bankCardNo":"` + cardNo + `","buyerUsername":"` + buyerName + `"`,
		`"b\u0061nkCardNo" : "` + cardNo + `", "buyerUsern\u0061me":"` + buyerName + `"`,
		`"bankCardNo":` + cardNo + `,"buyerUsername":["` + buyerName + `"]`,
		`"billPayment":"{\"bankCardNo\":\"` + cardNo + `\",\"buyerUsername\":\"` + buyerName + `\"}"`,
		`"x":{"y":"{\"z\":\"{\\\"bankCardNo\\\":\\\"` + cardNo + `\\\"}\"}"},"buyerUsername":"a\"` + buyerName + `"`,
	}
}

func FuzzRedact(f *testing.F) {
	for i := range secrets() {
		f.Add([]byte(`{"a":1,`), []byte(`,"b":2}`), i)
		f.Add([]byte(`{"a":1,"a":2,`), []byte(`}`), i)
		f.Add([]byte(`{"a\`), []byte(`}`), i)
		f.Add([]byte(`[{"a":"\ud800\u0000`), []byte("\x00\xff"), i)
		f.Add([]byte(strings.Repeat("[", 70)+"{"), []byte("}"+strings.Repeat("]", 70)), i)
	}
	f.Fuzz(func(t *testing.T, before, after []byte, which int) {
		all := secrets()
		secret := all[uint(which)%uint(len(all))]
		checkRedacted(t, bytes.Join([][]byte{before, []byte(secret), after}, nil))
		checkRedacted(t, bytes.Join([][]byte{before, []byte(secret)[:len(secret)*2/3]}, nil))
		checkJSONB(t, before, chinaums.Redact(before))
	})
}

func checkRedacted(t *testing.T, body []byte) {
	t.Helper()
	out := chinaums.Redact(body)
	checkJSONB(t, body, out)
	if bytes.Contains(out, []byte(cardNo[:10])) || bytes.Contains(out, []byte(buyerName)) {
		t.Errorf("a secret is left of %q: %s", body, out)
	}
}

// checkJSONB checks what Postgres asks of jsonb: valid UTF-8 JSON without NUL.
func checkJSONB(t *testing.T, body []byte, out json.RawMessage) {
	t.Helper()
	if (out == nil) != (len(body) == 0) {
		t.Errorf("%q became %s", body, out)
	}
	if out != nil && (!json.Valid(out) || !utf8.Valid(out) || bytes.Contains(out, []byte(`\u0000`))) {
		t.Errorf("not fit for jsonb: %q", out)
	}
}
