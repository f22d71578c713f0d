package client

import (
	"slices"
	"testing"
)

func TestTheClientAsksNoProxyForItsServer(t *testing.T) {
	got := direct([]string{"http_proxy=http://proxy:3128", "NO_PROXY=.cluster"})
	if want := []string{"no_proxy=127.0.0.1,.cluster", "NO_PROXY=127.0.0.1,.cluster"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
