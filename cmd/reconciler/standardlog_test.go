package main

import (
	"bytes"
	"log"
	"testing"
)

func TestStandardLogHoldsNoForeignAnswer(t *testing.T) {
	t.Parallel()
	var shown bytes.Buffer
	logger := log.New(standardLog{&shown}, "", 0)
	logger.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", `{"buyerUsername":"x"}`, nil)
	logger.Print("http: Accept error")
	if want := "a server sent an answer unasked; its connection is closed\nhttp: Accept error\n"; shown.String() != want {
		t.Errorf("got %q", shown.String())
	}
}
