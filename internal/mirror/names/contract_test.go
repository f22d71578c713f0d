package names

import (
	"os"
	"strings"
	"testing"
)

// The page on the contract tells of every file that has a rule.
func TestThePageOnTheContractNamesEveryFile(t *testing.T) {
	page, err := os.ReadFile("../../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table {
		name := r.Pattern
		for _, folder := range []string{"probe/*/", "cells/*/*/", "profiling/*/"} {
			name = strings.TrimPrefix(name, folder)
		}
		if name == "**" || name == "mirror.json" { // whatever else there is; what a mirror notes of itself
			continue
		}
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/contract.md does not name `%s`", name)
		}
	}
}
