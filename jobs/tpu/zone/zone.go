// Package zone asks the Cloud TPU API what a zone has. It asks only, in the API's v2, whose lists the other version has too.
package zone

import (
	"context"
	"fmt"
	"path"
	"strings"

	"google.golang.org/api/option"
	v2 "google.golang.org/api/tpu/v2"

	"vtune/jobs/tpu"
)

// Offer is what may be asked for in a zone.
type Offer struct {
	Types      []string // v6e-8
	Topologies []string // of those types, with the API's kind: V6E 2x4
	Runtimes   []string // v2-alpha-tpuv6e
}

// Zone is the place of a site.
type Zone struct {
	locations     *v2.ProjectsLocationsService
	project, name string
}

const pageSize = 500 // what is above the API's own greatest is taken for that

// Of is the zone that a scheduler's machines are in.
func Of(c tpu.Config) (*Zone, error) {
	endpoint := c.Endpoint
	if endpoint == "" {
		endpoint = tpu.Endpoint
	}
	service, err := v2.NewService(context.Background(), option.WithHTTPClient(c.HTTP), option.WithEndpoint(endpoint))
	if err != nil {
		return nil, fmt.Errorf("the API's client: %w", err)
	}
	return &Zone{service.Projects.Locations, c.Site.Project, c.Site.Zone}, nil
}

// Offers are the accelerator types and the runtime versions that the zone has. A list that a part is missing from is none.
func (z *Zone) Offers(ctx context.Context) (o Offer, err error) {
	parent := "projects/" + z.project + "/locations/" + z.name
	err = z.locations.AcceleratorTypes.List(parent).PageSize(pageSize).Pages(ctx, func(p *v2.ListAcceleratorTypesResponse) error {
		for _, t := range p.AcceleratorTypes {
			o.Types = append(o.Types, t.Type)
			for _, c := range t.AcceleratorConfigs {
				o.Topologies = append(o.Topologies, c.Type+" "+c.Topology)
			}
		}
		return whole(p.Unreachable)
	})
	if err != nil {
		return Offer{}, err
	}
	err = z.locations.RuntimeVersions.List(parent).PageSize(pageSize).Pages(ctx, func(p *v2.ListRuntimeVersionsResponse) error {
		for _, v := range p.RuntimeVersions {
			o.Runtimes = append(o.Runtimes, v.Version)
		}
		return whole(p.Unreachable)
	})
	if err != nil {
		return Offer{}, err
	}
	return o, nil
}

func whole(unreachable []string) error {
	if len(unreachable) > 0 {
		return fmt.Errorf("the list lacks %s", strings.Join(unreachable, ", "))
	}
	return nil
}

// Others are the zones in which the project may have TPUs at all.
func (z *Zone) Others(ctx context.Context) (names []string, err error) {
	err = z.locations.List("projects/"+z.project).PageSize(pageSize).Pages(ctx, func(p *v2.ListLocationsResponse) error {
		for _, l := range p.Locations {
			names = append(names, path.Base(l.Name))
		}
		return nil
	})
	return names, err
}
