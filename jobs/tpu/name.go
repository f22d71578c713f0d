package tpu

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// longest a resource's id may be here. The API's form names no greatest length; that of most other names at Google is 63.
const longest = 60

// hashed is what the end of a name looks like that was changed or cut.
var hashed = regexp.MustCompile(`-[0-9a-f]{8}$`)

// resourceID is the id of the resource and of the node for a job's name: the name itself where it is lowercase, digits and dashes,
// else with all others replaced and a hash of the name at its end, so that two names never share an id.
func resourceID(name string) string {
	id := plain(name, "")
	if id == "" || id[0] < 'a' || id[0] > 'z' {
		id = "v-" + id
	}
	return marked(name, strings.TrimRight(id, "-"), longest)
}

// labelValue is a label's value for a text, by the rules of labels: lowercase, digits, dashes and underscores, 63 at most.
func labelValue(text string) string { return marked(text, plain(text, "_"), longestLabel) }

const longestLabel = 63

// asLabel is a user's label bent to the same rules, of which a key's first character is one more. It has no hash: it is for people, and
// nothing is told apart by it.
func asLabel(key, value string) (string, string) {
	k := plain(key, "_")
	if k == "" || k[0] < 'a' || k[0] > 'z' {
		k = "l" + k
	}
	v := plain(value, "_")
	return k[:min(len(k), longestLabel)], v[:min(len(v), longestLabel)]
}

// plain is text in lowercase with everything but letters, digits, dashes and the characters of also replaced by dashes.
func plain(text, also string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', strings.ContainsRune(also, r):
			return r
		}
		return '-'
	}, strings.ToLower(text))
}

// marked is text, or what became of it, with a hash where they differ or where text itself looks like one that has a hash.
func marked(text, became string, most int) string {
	if became == text && len(text) <= most && !hashed.MatchString(text) {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return strings.TrimRight(became[:min(len(became), most-9)], "-") + "-" + hex.EncodeToString(sum[:4])
}
