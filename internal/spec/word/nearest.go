package word

import (
	"strings"
)

// DidYouMean is a hint that names the known word nearest to got, or empty where none is near.
func DidYouMean(got string, known []string) string {
	if near := Nearest(got, known); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// Nearest is the known word that got was probably meant to be, or empty.
func Nearest(got string, known []string) string {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	best, least := "", 1+max(2, len(got)/3)
	for _, k := range known {
		if d := editDistance(fold(got), fold(k)); d < least && d < len(k) {
			best, least = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's, by bytes. A word far longer than any key is no typing mistake, and is not compared.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
