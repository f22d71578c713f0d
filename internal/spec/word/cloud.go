package word

import (
	"fmt"
	"regexp"
	"strings"
)

// Base is a path, which may be relative, or a bucket of Google Cloud Storage with a path in it.
func Base() Rule {
	r := Path()
	path := r.check
	r.Says, r.check = "a path or gs://BUCKET/PATH", func(v string) *Fault {
		if !InBucket(v) {
			return path(v)
		}
		if !bucketURL.MatchString(v) || strings.Contains(v+"/", "/./") || strings.Contains(v+"/", "/../") {
			return &Fault{
				What: fmt.Sprintf("%q is not gs://BUCKET/PATH", v),
				Hint: "a bucket's name has 3 to 63 small letters, digits and - _ . ; a path letters, digits and _ . + = @ - between single slashes",
			}
		}
		return nil
	}
	return r
}

const bucketScheme = "gs://"

var bucketURL = regexp.MustCompile(`^gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9_.+=@-]+)*/?$`)

// InBucket reports whether a base is in a bucket, or is meant to be.
func InBucket(base string) bool { return strings.HasPrefix(base, bucketScheme) }

// Project is the id of a project of Google Cloud, or nothing. Its name and its number are other things.
func Project() Rule {
	return Rule{Pattern: `^(([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9])?$`, Says: "a project's id: 6 to 30 small letters, digits and dashes, a letter first"}
}

// Zone is a zone of Google Cloud, or nothing.
func Zone() Rule {
	zone := regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+-(ai[0-9]+)?[a-z]$`)
	return Rule{Pattern: `^[a-z0-9-]*$`, Says: "a zone such as us-east5-b", check: func(v string) *Fault {
		switch {
		case v == "", zone.MatchString(v):
			return nil
		case zone.MatchString(v + "-a"):
			return &Fault{What: v + " is a region", Hint: "write a zone of it, such as " + v + "-b"}
		}
		return &Fault{What: fmt.Sprintf("%q is not a zone such as us-east5-b", v)}
	}}
}

// AcceleratorType is a kind of TPU with the size of its slice, or nothing.
func AcceleratorType() Rule {
	return Rule{Pattern: `^([a-z][a-z0-9]*-[1-9][0-9]{0,4})?$`, Says: "a kind of TPU and a size, such as v6e-8", check: func(v string) *Fault {
		if size, ok := strings.CutPrefix(v, "v5e-"); ok {
			return &Fault{What: "the API has another name for v5e", Hint: "write v5litepod-" + size}
		}
		return nil
	}}
}

// Topology is how the chips of a slice are laid out, or nothing.
func Topology() Rule {
	return Rule{Pattern: `^([1-9][0-9]{0,2}x[1-9][0-9]{0,2}(x[1-9][0-9]{0,2})?)?$`, Says: "a topology such as 2x4 or 4x4x4"}
}

// RuntimeVersion is the name of a TPU machine's system image, or nothing.
func RuntimeVersion() Rule {
	return Rule{Pattern: `^([a-z0-9][a-z0-9._-]{0,62})?$`, Says: "a runtime version such as v2-alpha-tpuv6e"}
}

// Network is the name of a network, or its path where it is another project's, or nothing.
func Network() Rule {
	return Rule{Pattern: `^((projects/[a-z][a-z0-9.:-]*/global/networks/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?)?$`, Says: "a network's name, or projects/PROJECT/global/networks/NAME"}
}

// Subnetwork is the name of a subnetwork, or its path, or nothing.
func Subnetwork() Rule {
	return Rule{
		Pattern: `^((projects/[a-z][a-z0-9.:-]*/regions/[a-z0-9-]+/subnetworks/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?)?$`,
		Says:    "a subnetwork's name, or projects/PROJECT/regions/REGION/subnetworks/NAME",
	}
}

// ServiceAccount is who a machine acts as, or nothing. A person's address is refused: no machine can be that person.
func ServiceAccount() Rule {
	return Rule{Pattern: `^([a-z0-9][a-z0-9.-]*@([a-z0-9-]+\.)+gserviceaccount\.com)?$`, Says: "a service account's email, such as NAME@PROJECT.iam.gserviceaccount.com"}
}

// LabelName is the name of a label. Letters of other alphabets, which the API takes too, are left to it.
func LabelName() Rule {
	return Rule{Pattern: `^[a-z][a-z0-9_-]{0,62}$`, Says: "a label's name: small letters, digits, _ and -, a letter first, at most 63", check: func(v string) *Fault {
		for start, whose := range map[string]string{"goog": "Google's", "vtune": "vtune's: it finds its machines by them"} {
			if strings.HasPrefix(v, start) {
				return &Fault{What: "labels that begin with " + start + " are " + whose}
			}
		}
		return nil
	}}
}

// LabelValue may be empty.
func LabelValue() Rule {
	return Rule{Pattern: `^[a-z0-9_-]{0,63}$`, Says: "a label's value: small letters, digits, _ and -, at most 63"}
}

// RunDuration is how long a machine may live: less is not worth its start, and more than a week is the most that flex start gives.
func RunDuration() Rule { return durationFrom("10m", "168h") }

// Patience is how long a request may wait for a machine, or nothing.
func Patience() Rule {
	r := durationFrom("1m", "720h")
	some := r.check
	r.check = func(v string) *Fault {
		if v == "" {
			return nil
		}
		return some(v)
	}
	return r
}
