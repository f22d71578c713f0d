package buckettest

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Strict serves the part of the JSON interface that internal/bucket uses, as its reference has it, and refuses what we do not mean
// to do: a write without a precondition or without a checksum. It differs from fake-gcs-server in what that one does otherwise
// than Google: conditions on a delete are kept; generations never repeat; pages have at most 1,000 objects; checksums are checked for
// uploads in several chunks, too, whose chunks may arrive twice. It is also quicker with ten thousand objects.
func Strict(t testing.TB, buckets ...string) (endpoint string) {
	s := &strict{buckets: map[string]map[string]*stored{}, uploads: map[string]*upload{}, generation: 1_700_000_000_000_000}
	for _, b := range buckets {
		s.buckets[b] = map[string]*stored{}
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

type strict struct {
	mu         sync.Mutex
	buckets    map[string]map[string]*stored
	uploads    map[string]*upload
	generation int64
}

type stored struct {
	Name       string            `json:"name"`
	Bucket     string            `json:"bucket"`
	Generation int64             `json:"generation,string"`
	Size       int64             `json:"size,string"`
	CRC32C     string            `json:"crc32c"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	Updated    time.Time         `json:"updated"`
	data       []byte
}

type upload struct {
	bucket string
	asked  stored
	match  string
	data   []byte
	result *stored
}

type problem struct {
	code int
	said string
}

func wrong(code int, format string, args ...any) *problem {
	return &problem{code, fmt.Sprintf(format, args...)}
}

func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := s.route(w, r); p != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(p.code)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": p.code, "message": p.said}})
	}
}

func (s *strict) route(w http.ResponseWriter, r *http.Request) *problem {
	path := r.URL.EscapedPath()
	into := strings.HasPrefix(path, "/upload/")
	rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/upload"), "/storage/v1/b/")
	bucket, tail, _ := strings.Cut(rest, "/")
	if !ok || tail != "o" && !strings.HasPrefix(tail, "o/") {
		return wrong(404, "no such path: %s", path)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return wrong(400, "%v", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, ok := s.buckets[bucket]
	if !ok {
		return wrong(404, "The specified bucket does not exist.")
	}
	escaped, one := strings.CutPrefix(tail, "o/")
	name, err := url.PathUnescape(escaped)
	if err != nil || strings.Contains(escaped, "/") {
		return wrong(400, "a name that is not escaped: %s", escaped)
	}
	switch {
	case into && r.Method == http.MethodPost:
		return s.insert(w, r, bucket, body)
	case !one && r.Method == http.MethodGet:
		return list(w, r, objects)
	case one && r.Method == http.MethodGet:
		return get(w, r, objects[name])
	case one && r.Method == http.MethodDelete:
		o := objects[name]
		if o == nil {
			return wrong(404, "No such object: %s/%s", bucket, name)
		}
		if p := match(o, r.URL.Query().Get("ifGenerationMatch")); p != nil {
			return p
		}
		delete(objects, name)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return wrong(405, "%s %s", r.Method, path)
}

func match(o *stored, wanted string) *problem {
	now := "0"
	if o != nil {
		now = strconv.FormatInt(o.Generation, 10)
	}
	if wanted != "" && wanted != now {
		return wrong(412, "At least one of the pre-conditions you specified did not hold.")
	}
	return nil
}

func list(w http.ResponseWriter, r *http.Request, objects map[string]*stored) *problem {
	q := r.URL.Query()
	most := 1000
	if n, err := strconv.Atoi(q.Get("maxResults")); err == nil && n < most {
		most = n
	}
	var names []string
	for name := range objects {
		if strings.HasPrefix(name, q.Get("prefix")) && name >= q.Get("startOffset") && name > q.Get("pageToken") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var page struct {
		Items []*stored `json:"items,omitempty"`
		Next  string    `json:"nextPageToken,omitempty"`
	}
	for i, name := range names {
		if i == most {
			page.Next = names[i-1]
			break
		}
		page.Items = append(page.Items, objects[name])
	}
	return answer(w, page)
}

func answer(w http.ResponseWriter, v any) *problem {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
	return nil
}

func get(w http.ResponseWriter, r *http.Request, o *stored) *problem {
	q := r.URL.Query()
	if g := q.Get("generation"); o == nil || g != "" && g != strconv.FormatInt(o.Generation, 10) {
		return wrong(404, "No such object")
	}
	if q.Get("alt") != "media" {
		return answer(w, o)
	}
	h, sum := w.Header(), md5.Sum(o.data)
	h.Set("X-Goog-Generation", strconv.FormatInt(o.Generation, 10))
	h.Set("X-Goog-Stored-Content-Length", strconv.FormatInt(o.Size, 10))
	h.Add("X-Goog-Hash", "crc32c="+o.CRC32C)
	h.Add("X-Goog-Hash", "md5="+base64.StdEncoding.EncodeToString(sum[:]))
	h.Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(o.data))
	return nil
}

func (s *strict) insert(w http.ResponseWriter, r *http.Request, bucket string, body []byte) *problem {
	q := r.URL.Query()
	if id := q.Get("upload_id"); id != "" {
		return s.chunk(w, r, s.uploads[id], body)
	}
	u := &upload{bucket: bucket, match: q.Get("ifGenerationMatch")}
	switch kind := q.Get("uploadType"); kind {
	case "multipart":
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			return wrong(400, "%v", err)
		}
		parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for _, into := range []func([]byte) error{func(b []byte) error { return json.Unmarshal(b, &u.asked) }, func(b []byte) error { u.data = b; return nil }} {
			part, err := parts.NextPart()
			if err != nil {
				return wrong(400, "%v", err)
			}
			b, err := io.ReadAll(part)
			if err == nil {
				err = into(b)
			}
			if err != nil {
				return wrong(400, "%v", err)
			}
		}
		return s.finish(w, u)
	case "resumable":
		if err := json.Unmarshal(body, &u.asked); err != nil {
			return wrong(400, "%v", err)
		}
		if p := s.conditions(u); p != nil {
			return p
		}
		s.generation++
		id := fmt.Sprintf("session-%d", s.generation)
		s.uploads[id] = u
		w.Header().Set("Location", fmt.Sprintf("http://%s/upload/storage/v1/b/%s/o?uploadType=resumable&upload_id=%s", r.Host, bucket, id))
		return nil
	default:
		return wrong(400, "uploadType %q", kind)
	}
}

// chunk of an upload. One that has arrived before is no other than it was.
func (s *strict) chunk(w http.ResponseWriter, r *http.Request, u *upload, body []byte) *problem {
	if u == nil {
		return wrong(404, "no such upload")
	}
	if u.result != nil {
		return answer(w, u.result)
	}
	span, total, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes "), "/")
	from := len(u.data)
	if span != "*" {
		if _, err := fmt.Sscanf(span, "%d-", &from); err != nil || from > len(u.data) {
			return wrong(400, "Content-Range %q after %d bytes", span, len(u.data))
		}
	}
	u.data = append(u.data[:from:from], body...)
	if total == "*" {
		if len(body)%(256<<10) != 0 {
			return wrong(400, "a chunk of %d bytes", len(body))
		}
		w.Header().Set("X-Http-Status-Code-Override", "308")
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(u.data)-1))
		return nil
	}
	if total != strconv.Itoa(len(u.data)) {
		return wrong(400, "%d bytes came of %s", len(u.data), total)
	}
	return s.finish(w, u)
}

func (s *strict) conditions(u *upload) *problem {
	if u.asked.Name == "" || u.match == "" || u.asked.CRC32C == "" {
		return wrong(400, "a write without name, precondition or checksum")
	}
	return match(s.buckets[u.bucket][u.asked.Name], u.match)
}

func (s *strict) finish(w http.ResponseWriter, u *upload) *problem {
	if p := s.conditions(u); p != nil {
		return p
	}
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(u.data, crc32.MakeTable(crc32.Castagnoli))))
	if sum != u.asked.CRC32C {
		return wrong(400, "Provided CRC32C %q doesn't match calculated CRC32C %q.", u.asked.CRC32C, sum)
	}
	s.generation++
	u.result = &stored{
		Name: u.asked.Name, Bucket: u.bucket, Generation: s.generation, Size: int64(len(u.data)), CRC32C: sum,
		Metadata: u.asked.Metadata, Updated: time.Now().UTC(), data: u.data,
	}
	s.buckets[u.bucket][u.asked.Name] = u.result
	return answer(w, u.result)
}
