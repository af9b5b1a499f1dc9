package fakegoogle

import (
	"net/http"
	"strings"
)

// runPage is the largest page of this server's Cloud Run lists.
const runPage = 100

// Service is a Cloud Run service.
type Service struct {
	Name     string
	URI      string
	Labels   map[string]string
	Disabled bool // it has no default URL
}

// Set replaces the services of a project and a region.
func (s *Server) Set(project, region string, services ...Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services["projects/"+project+"/locations/"+region] = services
}

// askRun answers a request for a list of services.
func (s *Server) askRun(r *http.Request) (map[string]any, *Fault) {
	parent, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	parent, ok2 := strings.CutSuffix(parent, "/services")
	services, known := s.services[parent]
	if !ok || !ok2 || !known || r.Method != http.MethodGet {
		return nil, &Fault{Code: http.StatusNotFound, Message: "Requested entity was not found."}
	}

	from, to, next := s.pageOf(r, "pageSize", runPage, len(services))
	answer := map[string]any{}
	if next != "" {
		answer["nextPageToken"] = next
	}
	if to > from {
		answer["services"] = listed(parent, services[from:to])
	}

	return answer, nil
}

func listed(parent string, services []Service) (all []any) {
	for _, service := range services {
		item := map[string]any{"name": parent + "/services/" + service.Name, "uid": "u-" + service.Name, "uri": service.URI}
		if len(service.Labels) > 0 {
			item["labels"] = service.Labels
		}
		if service.Disabled {
			item["defaultUriDisabled"] = true
		}
		all = append(all, item)
	}

	return all
}
