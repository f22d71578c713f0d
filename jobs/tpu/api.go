package tpu

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"google.golang.org/api/option"
	tpu "google.golang.org/api/tpu/v2"
	alpha "google.golang.org/api/tpu/v2alpha1"
)

// api is what of the API is used. What v2 has of a queued resource v2alpha1 has too and more, so its types serve for both.
type api interface {
	create(ctx context.Context, parent, id, requestID string, q *alpha.QueuedResource) (*alpha.Operation, error)
	get(ctx context.Context, name string) (*alpha.QueuedResource, error)
	list(ctx context.Context, parent string, page func(*alpha.ListQueuedResourcesResponse) error) error
	remove(ctx context.Context, name, requestID string, force bool) error
}

// pageSize asks for few pages. What is above the API's own greatest size is taken for that.
const pageSize = 500

func open(client *http.Client, endpoint string, alphaAPI bool) (api, error) {
	// The context holds for nothing but credentials, and those the client has.
	options := []option.ClientOption{option.WithHTTPClient(client), option.WithEndpoint(endpoint)}
	if alphaAPI {
		service, err := alpha.NewService(context.Background(), options...)
		if err != nil {
			return nil, fmt.Errorf("the API's client: %w", err)
		}
		return v2alpha1{service.Projects.Locations.QueuedResources}, nil
	}
	service, err := tpu.NewService(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("the API's client: %w", err)
	}
	return v2{service.Projects.Locations.QueuedResources}, nil
}

type v2alpha1 struct {
	service *alpha.ProjectsLocationsQueuedResourcesService
}

func (a v2alpha1) create(ctx context.Context, parent, id, requestID string, q *alpha.QueuedResource) (*alpha.Operation, error) {
	return a.service.Create(parent, q).QueuedResourceId(id).RequestId(requestID).Context(ctx).Do()
}

func (a v2alpha1) get(ctx context.Context, name string) (*alpha.QueuedResource, error) {
	return a.service.Get(name).Context(ctx).Do()
}

func (a v2alpha1) list(ctx context.Context, parent string, page func(*alpha.ListQueuedResourcesResponse) error) error {
	return a.service.List(parent).PageSize(pageSize).Pages(ctx, page)
}

func (a v2alpha1) remove(ctx context.Context, name, requestID string, force bool) error {
	_, err := a.service.Delete(name).Force(force).RequestId(requestID).Context(ctx).Do()
	return err
}

type v2 struct {
	service *tpu.ProjectsLocationsQueuedResourcesService
}

func (a v2) create(ctx context.Context, parent, id, requestID string, q *alpha.QueuedResource) (*alpha.Operation, error) {
	body, err := as[tpu.QueuedResource](q, true)
	if err != nil {
		return nil, fmt.Errorf("the request in the API's v2: %w", err)
	}
	for _, n := range body.Tpu.NodeSpec {
		n.Node.NetworkConfig.ForceSendFields = []string{externalIPs}
	}
	op, err := a.service.Create(parent, body).QueuedResourceId(id).RequestId(requestID).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	return as[alpha.Operation](op, false)
}

func (a v2) get(ctx context.Context, name string) (*alpha.QueuedResource, error) {
	q, err := a.service.Get(name).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	return as[alpha.QueuedResource](q, false)
}

func (a v2) list(ctx context.Context, parent string, page func(*alpha.ListQueuedResourcesResponse) error) error {
	return a.service.List(parent).PageSize(pageSize).Pages(ctx, func(r *tpu.ListQueuedResourcesResponse) error {
		same, err := as[alpha.ListQueuedResourcesResponse](r, false)
		if err != nil {
			return err
		}
		return page(same)
	})
}

func (a v2) remove(ctx context.Context, name, requestID string, force bool) error {
	_, err := a.service.Delete(name).Force(force).RequestId(requestID).Context(ctx).Do()
	return err
}

// as is v in the type that the other version of the API has for it. Strictly, nothing may be lost.
func as[T any](v any, strictly bool) (*T, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if strictly {
		d.DisallowUnknownFields()
	}
	same := new(T)
	if err := d.Decode(same); err != nil {
		return nil, err
	}
	return same, nil
}
