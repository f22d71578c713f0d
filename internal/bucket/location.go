package bucket

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Location is a place in a bucket: gs://Bucket/Prefix. Prefix has no slash at either end, and is empty for the bucket itself.
type Location struct{ Bucket, Prefix string }

func (l Location) String() string { return "gs://" + strings.TrimSuffix(l.Bucket+"/"+l.Prefix, "/") }

// Join is the place below l; empty parts add nothing.
func (l Location) Join(parts ...string) Location {
	all := []string{}
	for _, p := range append([]string{l.Prefix}, parts...) {
		if p = strings.Trim(p, "/"); p != "" {
			all = append(all, p)
		}
	}
	return Location{l.Bucket, strings.Join(all, "/")}
}

const scheme = "gs://"

// maxName is the longest name of an object, in bytes.
const maxName = 1024

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	// Google's command line tools take these for patterns and generations, and people will type the place after them.
	special = "*?[]#"
)

// Parse reads gs://bucket/path. What cannot be a bucket's name is refused, and so is a path that tools or people would take for
// another one: with empty parts, "." or "..", control characters, or patterns.
func Parse(url string) (Location, error) {
	rest, ok := strings.CutPrefix(url, scheme)
	if !ok {
		return Location{}, fmt.Errorf("%q is no place in a bucket: gs://BUCKET/PATH", url)
	}
	name, prefix, _ := strings.Cut(rest, "/")
	if err := checkBucket(name); err != nil {
		return Location{}, fmt.Errorf("%q: %w", url, err)
	}
	l := Location{name, strings.TrimSuffix(prefix, "/")}
	if l.Prefix == "" && prefix != "" {
		return Location{}, fmt.Errorf("%q: an empty part in the path", url)
	}
	if l.Prefix == "" {
		return l, nil
	}
	if err := checkName(l.Prefix); err != nil {
		return Location{}, fmt.Errorf("%q: %w", url, err)
	}
	for part := range strings.SplitSeq(l.Prefix, "/") {
		switch part {
		case "":
			return Location{}, fmt.Errorf("%q: an empty part in the path", url)
		case ".", "..":
			return Location{}, fmt.Errorf("%q: a part of the path is %q", url, part)
		}
	}
	if strings.ContainsAny(l.Prefix, special) {
		return Location{}, fmt.Errorf("%q: none of %s can stand in the path", url, special)
	}
	return l, nil
}

// checkBucket follows the rules for new buckets; those for domains allow more characters in all, but not in a part.
func checkBucket(name string) error {
	bad := !bucketName.MatchString(name) || net.ParseIP(name) != nil
	if !strings.Contains(name, ".") && len(name) > 63 {
		bad = true
	}
	for part := range strings.SplitSeq(name, ".") {
		bad = bad || part == "" || len(part) > 63
	}
	if bad {
		return fmt.Errorf("%q is no name of a bucket", name)
	}
	return nil
}

// checkName refuses what cannot be an object's name, or would look like another one.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("an object without a name")
	case len(name) > maxName:
		return fmt.Errorf("a name of %d bytes; %d are the most", len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%q is not in UTF-8", name)
	case strings.ContainsFunc(name, invisible):
		return fmt.Errorf("%q has characters that cannot be seen", name)
	case name == "." || name == "..":
		return fmt.Errorf("%q is no name of an object", name)
	}
	return nil
}

// invisible characters, or such as turn a line of text around.
func invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}
