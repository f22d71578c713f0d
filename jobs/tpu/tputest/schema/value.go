package schema

import (
	"encoding/json"
	"time"
)

// Decoded JSON whose shape the schema has passed, read without asking at each step: what is absent is empty.

func object(o map[string]any, name string) map[string]any {
	v, _ := o[name].(map[string]any)
	return v
}

func list(o map[string]any, name string) []any {
	v, _ := o[name].([]any)
	return v
}

func text(o map[string]any, name string) string {
	v, _ := o[name].(string)
	return v
}

func integer(o map[string]any, name string) int64 {
	v, _ := o[name].(json.Number)
	n, _ := v.Int64()
	return n
}

func has(o map[string]any, name string) bool { return o[name] != nil }

func seconds(o map[string]any, name string) (time.Duration, bool) {
	d, err := time.ParseDuration(text(o, name))
	return d, err == nil
}

func moment(o map[string]any, name string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text(o, name))
	return t
}
