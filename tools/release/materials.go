package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// materials is the bill of what was built into a program, from what Go has noted in the program itself. cyclonedx-gomod makes such bills
// too, with a checksum of itself in them, which depends on the path that it was built at.
func materials(version string, t target, program string) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	self := component("vtune", version, t)
	self.Type, self.Scope = cyclonedx.ComponentTypeApplication, ""
	self.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(data))}}
	self.Licenses = &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}}
	properties := []cyclonedx.Property{{Name: "go:version", Value: info.GoVersion}}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" || s.Key == "vcs.time" {
			properties = append(properties, cyclonedx.Property{Name: "go:" + s.Key, Value: s.Value})
		}
	}
	components := []cyclonedx.Component{component("std", strings.TrimPrefix(info.GoVersion, "go"), t)}
	for _, m := range info.Deps {
		c := component(m.Path, m.Version, t)
		if c.Hashes, err = hashOf(m); err != nil {
			return nil, err
		}
		components = append(components, c)
	}
	var refs []string
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}
	bom := cyclonedx.NewBOM() // without serial number and time, which would be others each time
	bom.Metadata = &cyclonedx.Metadata{Component: &self, Properties: &properties}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: self.BOMRef, Dependencies: &refs}}
	var out bytes.Buffer
	err = cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	return out.Bytes(), err
}

// component is a module as package URLs name it.
func component(path, version string, t target) cyclonedx.Component {
	ref := "pkg:golang/" + path + "@" + version
	return cyclonedx.Component{
		Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version, Scope: cyclonedx.ScopeRequired,
		BOMRef: ref, PackageURL: ref + "?type=module&goos=" + t.os + "&goarch=" + t.arch,
	}
}

// hashOf is a module's checksum as in go.sum: SHA-256 of the checksums of its files.
func hashOf(m *debug.Module) (*[]cyclonedx.Hash, error) {
	if m.Replace != nil {
		return nil, fmt.Errorf("%s is replaced: what is released is what its authors published", m.Path)
	}
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%s: %q is no checksum", m.Path, m.Sum)
	}
	return &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}, nil
}

var licenseName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// licenses is what the modules of a program, and Go itself, want to be given on with it, in one text.
func licenses(ctx context.Context, program string) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	goroot, err := output(ctx, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	args := []string{"list", "-m", "-f", "{{.Path}}\t{{.Dir}}"}
	for _, m := range info.Deps {
		args = append(args, m.Path)
	}
	list, err := output(ctx, "go", args...)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("What vtune is built from, and under which terms: Go and its standard library, and these modules.\n")
	for line := range strings.Lines("Go\t" + goroot + "\n" + list + "\n") {
		module, folder, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if err := licensesOf(&b, module, folder); err != nil {
			return nil, fmt.Errorf("%s: %w", module, err)
		}
	}
	return b.Bytes(), nil
}

func licensesOf(b *bytes.Buffer, module, folder string) error {
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	found := false
	for _, f := range files {
		if !f.Type().IsRegular() || !licenseName.MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 80), module, f.Name(), bytes.TrimRight(text, "\n"))
		found = true
	}
	if !found {
		return errors.New("it has no license: nothing that it is in may be given on")
	}
	return nil
}
