package bucket

import (
	"strings"
	"testing"
)

func TestPlacesInBuckets(t *testing.T) {
	for url, want := range map[string]Location{
		"gs://bucket":                     {"bucket", ""},
		"gs://bucket/":                    {"bucket", ""},
		"gs://my-bucket_1/a":              {"my-bucket_1", "a"},
		"gs://my.bucket/a/b c/":           {"my.bucket", "a/b c"},
		"gs://bucket/auto-benchmark/ü/.x": {"bucket", "auto-benchmark/ü/.x"},
	} {
		if got, err := Parse(url); err != nil || got != want {
			t.Errorf("%q: %+v, %v", url, got, err)
		}
	}
	for _, url := range []string{
		"", "bucket/path", "/bucket", "s3://bucket/a", "gs:/bucket", "gs://", "gs:///a", "GS://bucket",
		"gs://ab", "gs://Bucket", "gs://-bucket", "gs://bucket-", "gs://buck et", "gs://b..ucket", "gs://10.0.0.1", "gs://b@host/a",
		"gs://" + strings.Repeat("a", 64), "gs://bucket:80/a", "gs://bücket/a",
		"gs://bucket//", "gs://bucket//a", "gs://bucket/a//b", "gs://bucket/a//", "gs://bucket/..", "gs://bucket/a/../b", "gs://bucket/./a",
		"gs://bucket/a\nb", "gs://bucket/a\x7fb", "gs://bucket/a\u202eb", "gs://bucket/\xff", "gs://bucket/*", "gs://bucket/a#1",
		"gs://bucket/" + strings.Repeat("a", 1025),
	} {
		if got, err := Parse(url); err == nil {
			t.Errorf("%q was taken for %+v", url, got)
		}
	}
}

func TestJoinAddsWhatIsNotEmpty(t *testing.T) {
	root := Location{Bucket: "bucket"}
	for want, got := range map[string]Location{
		"gs://bucket":         root,
		"gs://bucket/a":       root.Join("a"),
		"gs://bucket/a/b/c":   root.Join("a", "").Join("", "b/c/"),
		"gs://bucket/x/jobs":  Location{"bucket", "x"}.Join("jobs"),
		"gs://bucket/x/y.txt": Location{"bucket", "x"}.Join("/y.txt"),
	} {
		if got.String() != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"gs://bucket/a/b", "gs://bucket", "gs://b.c.d/", "gs://bucket/a/../b", "gs://bucket//", "gs://buck\net/ü", "gs://bucket/./.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		l, err := Parse(url)
		if err != nil {
			return
		}
		if again, err := Parse(l.String()); err != nil || again != l {
			t.Fatalf("%q is %+v, whose %q is %+v, %v", url, l, l.String(), again, err)
		}
		if l.String() != strings.TrimSuffix(url, "/") {
			t.Fatalf("%q became %q", url, l.String())
		}
		for part := range strings.SplitSeq(l.Bucket+"/"+l.Prefix, "/") {
			if part == "." || part == ".." || part == "" && l.Prefix != "" || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("%q has the part %q", url, part)
			}
		}
	})
}
