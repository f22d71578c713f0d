package spec

import (
	"encoding/json"

	"vtune/internal/spec/table"
)

// Schema is a JSON Schema (draft 2020-12) of the spec for editors. It says what can be said of one key at a time: what rests on
// several keys, and what a pattern cannot hold, only Parse tells.
func Schema() []byte {
	root := table.Schema(fields())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "vtune spec"
	root["patternProperties"] = table.Object{"^x-": true}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil { // maps of words and numbers: there is nothing that could fail
		return nil
	}
	return append(out, '\n')
}
